-- Prelude of claim: what stands behind an id.

-- The job behind an id, or nil: garbage is what is no id of ours, or has no hash of a job. What
-- few jobs have is read if `more` says that there is any of it.
local LISTED, EXPIRES, UNIQUE = 7, 8, 9
local function inspect(root, id)
  if #id > 64 or not id:find('^[%w_.:-]+$') then return nil end
  local job = job_fields(root, id, 'state', 'handler', 'payload', 'enqueued_at', 'token', 'attempts', 'max_attempts', 'more')
  if job and job[8] then
    job.more = redis.call('HMGET', job_key(root, id), 'timeout', 'priority', 'unknown_since', 'due_at', 'result_ttl', 'trace',
      'listed', 'expires_at', 'unique_start')
  end
  return job
end

-- What is not a job ends among the failed under a name made from its bytes; the same bytes
-- once more add nothing to the job that was made of them. Returns the name if it is new.
local function bury_garbage(root, bytes, now)
  local id = 'garbage-' .. redis.sha1hex(bytes)
  if redis.call('EXISTS', job_key(root, id)) == 1 then return end
  redis.call('HSET', job_key(root, id), 'payload', bytes:sub(1, 4096), 'enqueued_at', now)
  bury(root, id, 'Garbage', now)
  return id
end

-- An id that stands there but is no job to run: stale after a cancel or fail, twice, garbage.
local function drop(root, id, job, now)
  if not job then return bury_garbage(root, id, now) end
  if job[1] == 'cancelled' then redis.call('DEL', job_key(root, id)) end
  local listed = job.more and job.more[LISTED]
  if job[1] == 'cancelled' or listed then redis.call('HINCRBY', root .. ':counts', 'cancelled', -1) end
  if listed then redis.call('HDEL', job_key(root, id), 'listed') end
end
