-- Prelude 5: what operators do to jobs that are not running.

-- Takes an active or scheduled job out of where it waits: 1 if its id had to be left in the list,
-- 0 if it is out, nil if it is in another state.
local function withdraw(root, id)
  local job = job_fields(root, id, 'state', 'score', 'enqueued_at')
  if not job then return nil end
  if job[1] == 'scheduled' then return redis.call('ZREM', root .. ':scheduled', id) == 1 and 0 or nil end
  if job[1] then return nil end
  return job[2] and redis.call('ZREM', root .. ':priority', id) == 1 and 0 or 1
end

-- Deletes a job's hash; while its id is still in the list, leaves `state` = cancelled for claim.
local function erase(root, id)
  local key = job_key(root, id)
  local listed = redis.call('HEXISTS', key, 'listed') == 1
  redis.call('DEL', key)
  if listed then redis.call('HSET', key, 'state', 'cancelled') end
end
