-- Prelude of define: one schedule.

-- The definition of the supervisor that began last counts; one from the future was made by a
-- clock that has been set back.
local function may_define(root, name, since, now)
  local at = redis.pcall('HGET', schedule_key(root, name), 'since')
  at = type(at) == 'string' and tonumber(at)
  return not at or at <= since or at > now
end

-- It stays paused, and due when it was, unless that is another time now.
local function define(root, name, fields, now)
  local key, rhythm = schedule_key(root, name), {'cron', 'every', 'timezone'}
  local old, recent = redis.pcall('HMGET', key, unpack(rhythm)), redis.pcall('HGET', key, 'recent')
  redis.call('DEL', key)
  redis.call('HSET', key, unpack(fields))
  if type(recent) == 'string' then redis.call('HSET', key, 'recent', recent) end
  local new, due = redis.call('HMGET', key, unpack(rhythm)), redis.call('ZSCORE', root .. ':schedules', name)
  local same = old[1] == new[1] and old[2] == new[2] and old[3] == new[3]
  set_due(root, name, due and (same or due == 'inf') and due or 0, now)
end
