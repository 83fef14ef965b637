-- Prelude of claim, 2: the parts of a claim.
local INDEXES = {{'LLEN', 'active'}, {'ZCARD', 'priority'}, {'HLEN', 'processing'}, {'ZCARD', 'workers'},
  {'ZCARD', 'failed'}, {'ZCARD', 'scheduled'}, {'HLEN', 'claims'}, {'HLEN', 'meta'}, {'HLEN', 'counts'}, {'HLEN', 'groups'}, {'ZCARD', 'succeeded'}, {'STRLEN', 'queue'}}

-- May this worker claim under this number? A number seen before gets nothing. Every index is
-- looked at before anything is written: one of a wrong type stops its own queue and no other.
local function admit(root, worker, number)
  for _, index in ipairs(INDEXES) do
    local size = redis.pcall(index[1], root .. ':' .. index[2])
    if type(size) == 'table' then return index[2] .. ': ' .. size.err end
  end
  local lease = tonumber(redis.call('ZSCORE', root .. ':workers', worker))
  if not lease or lease == 0 then return 'unregistered' end
  if lease < 0 then return 'closed' end
  local seen = redis.call('HGET', root .. ':claims', worker)
  return seen and tonumber(seen:match('^%d+')) >= number and 'seen' or 'ok'
end

-- The job behind an id, or nil: garbage is what is no id of ours, or has no hash of a job.
local function inspect(root, id)
  if #id > 64 or not id:find('^[%w_.:-]+$') then return nil end
  return job_fields(root, id, 'state', 'handler', 'payload', 'enqueued_at', 'token', 'attempts',
    'max_attempts', 'timeout', 'priority', 'unknown_since', 'listed', 'due_at', 'result_ttl', 'expires_at', 'unique_start')
end

-- An id that stands there but is no job to run: stale after a cancel or fail, twice, garbage.
local function drop(root, id, job, now)
  if not job then return bury_garbage(root, id, now) end
  if job[1] == 'cancelled' then redis.call('DEL', job_key(root, id)) end
  if job[1] == 'cancelled' or job[11] then redis.call('HINCRBY', root .. ':counts', 'cancelled', -1) end
  if job[11] then redis.call('HDEL', job_key(root, id), 'listed') end
end

-- A job that was to begin by now and never did.
local function expired(job, now)
  return job[14] and tonumber(job[14]) <= now and (job[6] or '0') == '0'
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
