-- Prelude: what operators do to jobs that are not running.

-- Takes an active or scheduled job out of where it waits; false if it is in another state. An id
-- in the list stays there (LREM would scan it), marked `listed`, and is dropped when claim comes to it.
local function withdraw(root, id)
  local job = job_fields(root, id, 'state', 'score', 'enqueued_at', 'limit_key')
  if not job then return false end
  if job[1] == 'scheduled' then return redis.call('ZREM', root .. ':scheduled', id) == 1 end
  if job[1] then return false end
  if job[4] then return redis.call('ZREM', root .. ':limited', id) == 1 end
  if job[2] and redis.call('ZREM', root .. ':priority', id) == 1 then return true end
  redis.call('HSET', job_key(root, id), 'listed', 1, 'more', 1)
  redis.call('HINCRBY', root .. ':counts', 'cancelled', 1)
  return true
end

-- Deletes a job's hash; while its id is still in the list, leaves `state` = cancelled for claim.
local function erase(root, id)
  local key = job_key(root, id)
  local job = job_fields(root, id, 'listed', 'unique', 'unique_start', 'state', 'batch') or {}
  unlock(root, id, job[2] or job[3])
  redis.call('DEL', key)
  if job[4] ~= 'failed' then mark(root, job[5], id, 'cancelled', now_ms()) end
  tell_ended(root, {id})
  if job[1] then redis.call('HSET', key, 'state', 'cancelled') end
end
