-- Prelude of retry and edit: how a failed job waits again.

-- failed -> active, or scheduled `delay` ms ahead; attempts begin anew, token and errors stay. An
-- id that is still in the list takes its old place there, whatever the delay. 0 if it is not failed;
-- the id of the job that stands for its unique key, if there is one.
local function revive(root, id, delay, now)
  local job, key = job_fields(root, id, 'state', 'priority', 'listed', 'group', 'unique', 'unique_start',
    'unique_for', 'limit_key', 'limit', 'batch'), job_key(root, id)
  if not job or job[1] ~= 'failed' then return 0 end
  local unique = job[5] or job[6]
  local other = unique and stands(root, unique)
  if other then return other end
  if unique then lock(root, id, unique, job[7]) end
  exhume(root, id, job[4])
  mark(root, job[10], id, 'waiting', now)
  redis.call('HDEL', key, 'state', 'failed_at', 'exception', 'group', 'attempts', 'crashes', 'started_at',
    'unknown_since', 'progress', 'expires_at')
  redis.call('HSET', key, 'due_at', now + delay, 'more', 1)
  if job[3] then
    redis.call('HDEL', key, 'listed')
    redis.call('HINCRBY', root .. ':counts', 'cancelled', -1)
  elseif delay > 0 then
    redis.call('HSET', key, 'state', 'scheduled')
    schedule(root, id, now + delay, now)
    return 1
  else
    place_last(root, id, tonumber(job[2]) or 0, job[8], job[9])
  end
  hint(root)
  return 1
end
