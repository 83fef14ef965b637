-- Prelude 1: names, the clock, hints. Put before every script by scripts.py.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- "+ms" from now, "ms" by this clock, nil for "".
local function moment(text, now)
  return text:sub(1, 1) == '+' and now + tonumber(text:sub(2)) or tonumber(text)
end

local function job_key(root, id) return root .. ':job:' .. id end
local function tombstone(root, id) return root .. ':pushed:' .. id end

-- Wakes one idle worker: `wake` holds at most one hint; whatever else it is, is left alone.
local function hint(root)
  if redis.call('EXISTS', root .. ':wake') == 0 then redis.call('LPUSH', root .. ':wake', 1) end
end

-- Tells those who wait for a job's end: `waited` is there while anybody waits for any.
local function tell_ended(root, ids)
  if redis.call('EXISTS', root .. ':waited') == 0 then return end
  for _, id in ipairs(ids) do redis.call('PUBLISH', root .. ':ended:' .. id, 1) end
end

-- What stands in a job's hash, or nil where there is no hash (or a key of another type).
local function job_fields(root, id, ...)
  local found = redis.pcall('HMGET', job_key(root, id), ...)
  if found.err then return nil end
  for i = 1, #found do
    if found[i] then return found end
  end
  return nil
end

-- 1 this claim stands; 0 already settled or removed; -1 another's; then the job's unique key.
-- `owner` is the id's value in processing; it alone decides for a hash that lost its token. An
-- id of ours without a hash has nothing left to settle.
local function standing(root, id, token, worker, owner)
  local job = redis.pcall('HMGET', job_key(root, id), 'token', 'state', 'unique')
  if job.err or not (job[1] or job[2]) then
    if owner == worker then redis.call('HDEL', root .. ':processing', id) end
    return 0
  end
  if job[1] and job[1] ~= token then return -1 end
  if not owner then return 0 end
  return owner == worker and 1 or -1, job[3]
end
