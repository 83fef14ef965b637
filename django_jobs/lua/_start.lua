-- Prelude of claim: whether a job begins, and how.

-- A job that was to begin by now and never did.
local function expired(job, now)
  local at = job.more and job.more[EXPIRES]
  return at and tonumber(at) <= now and (job[6] or '0') == '0'
end

local function expire(root, id, job, now)
  local class = 'django_jobs.exceptions.Expired'
  local err = string.format('{"exception": "%s", "message": "It had not begun in time.", "worker": ""}', class)
  record_error(root, id, job[5] or '0', err, '', now)
  redis.call('HDEL', job_key(root, id), 'score')
  bury(root, id, class, now)
end

-- A job beyond the free slots waits in the worker: never one on its last attempt.
local function fits(room, job)
  if room.slots > 0 then return true end
  if (tonumber(job[6] or 0) or 0) + 1 >= (tonumber(job[7] or 5) or 5) then room.ahead = 0 end
  return room.ahead > 0
end

local function one_more(count)
  return count and string.format('%d', (tonumber(count) or 0) + 1) or '1'
end

-- What inspect read becomes the row that claim answers with: queue index, ..., id, and of `more`
-- what the worker needs.
local function start(root, id, job, queue, now)
  job[1], job[5], job[6], job[8] = queue, one_more(job[5]), one_more(job[6]), id
  if job.more then
    unlock(root, id, job.more[UNIQUE])
    for n = 1, LISTED - 1 do job[8 + n] = job.more[n] end
  end
  redis.call('HSET', job_key(root, id), 'state', 'processing', 'token', job[5], 'attempts', job[6], 'started_at', now)
end
