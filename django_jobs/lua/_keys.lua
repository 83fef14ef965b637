-- Prelude: names, the clock, hints.
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

-- May a worker take something here now?
local function claimable(root)
  return redis.call('EXISTS', root .. ':active', root .. ':priority', root .. ':ring') > 0
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
