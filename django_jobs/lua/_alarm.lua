-- Prelude of claim, 5: what a claim leaves behind.

-- When something of a queue falls due: a job, unless it is paused, or a schedule (which claim has
-- named, if that is past). nil if nothing does.
local function next_due(root, paused, schedule, now)
  local job = not paused and tonumber(redis.call('ZRANGE', root .. ':scheduled', 0, 0, 'WITHSCORES')[2]) or nil
  if not schedule or schedule <= now then return job end
  return job and math.min(job, schedule) or schedule
end

-- How long one worker may sleep before it looks for what falls due; -1 for the others.
local function alarm(root, worker, due, now)
  if not due then return -1 end
  local held = redis.call('HMGET', root .. ':meta', 'alarm_worker', 'alarm_at')
  local at = tonumber(held[2])
  if held[1] ~= worker and at and at > now and at <= due then return -1 end
  redis.call('HSET', root .. ':meta', 'alarm_worker', worker, 'alarm_at', due)
  return math.max(due - now, 0)
end

local function sooner(one, other)
  if one < 0 then return other end
  return other < 0 and one or math.min(one, other)
end

-- Leaves a hint where claimable jobs are left, so that a woken worker wakes the next.
local function leave(root, left)
  if redis.call('LLEN', root .. ':active') + redis.call('ZCARD', root .. ':priority') == 0 then return left end
  hint(root)
  return 1
end
