-- Prelude: the failed, and their groups: one ZSET for each handler and exception class.

-- Garbage is in group `?`; what would be the 1,001st group is in `other`.
local function group_of(root, id, exception)
  if exception == 'Garbage' then return '?' end
  local handler = redis.call('HGET', job_key(root, id), 'handler') or ''
  local group, groups = handler:sub(1, 200) .. ' ' .. exception:sub(1, 200), root .. ':groups'
  local known = redis.call('HEXISTS', groups, group) == 1 or redis.call('HLEN', groups) < 1000
  return known and group or 'other'
end

local function bury(root, id, exception, now)
  local group = group_of(root, id, exception)
  local job = redis.call('HMGET', job_key(root, id), 'unique', 'unique_start', 'batch')
  unlock(root, id, job[1] or job[2])
  redis.call('HSET', job_key(root, id), 'state', 'failed', 'failed_at', now, 'exception', exception, 'group', group)
  redis.call('ZADD', root .. ':failed', now, id)
  redis.call('ZADD', root .. ':group:' .. group, now, id)
  redis.call('HINCRBY', root .. ':groups', group, 1)
  mark(root, job[3], id, 'failed', now)
  tell_ended(root, {id})
end

-- A job that somebody stopped ends among the failed, instead of waiting again.
local function stopped(root, id, now)
  if redis.call('HEXISTS', job_key(root, id), 'stop') == 0 then return false end
  redis.call('HDEL', job_key(root, id), 'score', 'progress', 'unknown_since', 'stop')
  bury(root, id, 'django_jobs.exceptions.JobStopped', now)
  return true
end

-- A job that lost its hash does not say in which group it is.
local function find_group(root, id)
  for _, group in ipairs(redis.pcall('HKEYS', root .. ':groups')) do
    if type(redis.pcall('ZSCORE', root .. ':group:' .. group, id)) == 'string' then return group end
  end
end

-- Takes a job out of the failed: 1, or 0 if it is not there. `group` as it was read, or false.
-- It is out by then: groups that are broken may not stop what follows.
local function exhume(root, id, group)
  local found = redis.call('ZREM', root .. ':failed', id)
  group = group or find_group(root, id)
  if group and redis.pcall('ZREM', root .. ':group:' .. group, id) == 1 then
    local left = redis.pcall('HINCRBY', root .. ':groups', group, -1)
    if type(left) == 'number' and left < 1 then redis.call('HDEL', root .. ':groups', group) end
  end
  return found
end
