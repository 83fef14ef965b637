-- Prelude of define: one schedule.

-- The newest definition wins; one from the future was made by a clock that was wrong.
local function may_define(root, name, since, now)
  local at = tonumber(defined_at(root, name))
  return not at or at <= tonumber(since) or at > now
end

-- Paused it stays so; and when it is due next stays, unless that is another time now.
local function define(root, name, first, fields)
  local key, index = schedule_key(root, name), root .. ':schedules'
  local old = redis.pcall('HMGET', key, 'recent', 'cron', 'every', 'timezone')
  redis.call('DEL', key)
  redis.call('HSET', key, unpack(fields))
  if old[1] then redis.call('HSET', key, 'recent', old[1]) end
  local new, due = redis.call('HMGET', key, 'recent', 'cron', 'every', 'timezone'), redis.call('ZSCORE', index, name)
  local same = old[2] == new[2] and old[3] == new[3] and old[4] == new[4]
  if not due or not (same or due == 'inf') then redis.call('ZADD', index, first, name) end
end
