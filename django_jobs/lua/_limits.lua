-- Prelude: limits. Those of a queue are in `meta`, like "concurrency=20 rate=50/s burst=5". Jobs with
-- a limit key wait in a list of that key, `key:<hash of it>`; `ring` has the keys with work and room, by
-- turn; `limited` has every such job that waits, `keyed` each that runs.

local UNITS = {s = 1000, m = 60000, h = 3600000, d = 86400000}

local function interval_of(limits)
  local rate, unit = (limits or ''):match('rate=(%d+)/(%a)')
  return UNITS[unit] and UNITS[unit] / rate
end

local function key_list(root, key) return root .. ':key:' .. key end

local function running(root, key) return tonumber(redis.call('HGET', root .. ':running', key)) or 0 end

local function has_room(root, key)
  return running(root, key) < (tonumber(redis.call('HGET', root .. ':limit', key)) or 1)
end

-- Gives a key a turn, behind the others, if it has work and room; forgets one that has nothing.
local function offer(root, key)
  local size = redis.pcall('LLEN', key_list(root, key))
  if type(size) == 'table' then return end -- of a wrong type, which `check` names: it stops its key only
  if size == 0 then
    if running(root, key) == 0 then redis.call('HDEL', root .. ':limit', key) end
  elseif has_room(root, key) then
    redis.call('ZADD', root .. ':ring', 'NX', redis.call('INCR', root .. ':queue'), key)
    hint(root)
  end
end

-- `side` is LPUSH, behind the others of the key, or RPUSH, before them.
local function wait_by_key(root, id, side, limit_key, limit)
  local key = redis.sha1hex(limit_key)
  redis.call(side, key_list(root, key), id) -- may fail: before anything is written
  redis.call('ZADD', root .. ':limited', redis.call('INCR', root .. ':queue'), id)
  redis.call('HSET', root .. ':limit', key, limit or 1)
  offer(root, key)
end

local function enter_key(root, id, key)
  redis.call('HSET', root .. ':keyed', id, key)
  redis.call('HINCRBY', root .. ':running', key, 1)
end

local function leave_key(root, id)
  local key = redis.call('HGET', root .. ':keyed', id)
  if not key then return end
  redis.call('HDEL', root .. ':keyed', id)
  if redis.call('HINCRBY', root .. ':running', key, -1) < 1 then redis.call('HDEL', root .. ':running', key) end
  offer(root, key)
end
