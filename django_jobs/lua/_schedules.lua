-- Prelude of the scripts of schedules. `schedules` has by name when each is due next (inf: paused;
-- 0: a worker has to say), `schedule:<name>` what it is, and `meta` when the first is due.
local function schedule_key(root, name) return root .. ':schedule:' .. name end

local function is_schedule(root, name) return redis.call('ZSCORE', root .. ':schedules', name) ~= false end

-- Sets when a schedule is due next (nil: there is none any more), and what claim goes by.
local function set_due(root, name, due, now)
  if due then
    redis.call('ZADD', root .. ':schedules', due, name)
  else
    redis.call('ZREM', root .. ':schedules', name)
    redis.call('DEL', schedule_key(root, name))
  end
  local first = redis.call('ZRANGE', root .. ':schedules', 0, 0, 'WITHSCORES')[2]
  if not first or first == 'inf' then return redis.call('HDEL', root .. ':meta', 'schedules_at') end
  redis.call('HSET', root .. ':meta', 'schedules_at', first)
  expect(root, tonumber(first), now)
end
