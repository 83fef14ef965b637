-- Prelude of the scripts of schedules: `schedules` has by name when each is due next (inf: paused),
-- `schedule:<name>` what it is.
local function schedule_key(root, name) return root .. ':schedule:' .. name end

-- Which supervisor defined a schedule, by when it started; nil if there is no such schedule.
local function defined_at(root, name)
  local since = redis.pcall('HGET', schedule_key(root, name), 'since')
  return type(since) == 'string' and since or nil
end

-- Keeps in `meta`, where claim looks, when the first of them is due.
local function note_first(root, now)
  local first = redis.call('ZRANGE', root .. ':schedules', 0, 0, 'WITHSCORES')[2]
  if not first or first == 'inf' then return redis.call('HDEL', root .. ':meta', 'schedules_at') end
  redis.call('HSET', root .. ':meta', 'schedules_at', first)
  expect(root, tonumber(first), now)
end

local function forget_schedule(root, name)
  redis.call('DEL', schedule_key(root, name))
  return redis.call('ZREM', root .. ':schedules', name)
end
