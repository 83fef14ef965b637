-- Prelude of claim, 8: what a claim leaves behind.

-- How long one worker may sleep before it looks for what falls due, which may be the next turn of
-- the queue's rate; -1 for the others.
local function alarm(root, worker, turn, now)
  local due = tonumber(redis.call('ZRANGE', root .. ':scheduled', 0, 0, 'WITHSCORES')[2])
  if turn then due = math.min(due or turn, turn) end
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

-- Leaves a hint where claimable jobs are left, so that a woken worker wakes the next: 1; 2 if all
-- that is left waits for a limit.
local function leave(root, left, own)
  local some = claimable(root)
  if some and own.open > 0 then
    hint(root)
    return 1
  end
  if left == 0 and (some or redis.call('EXISTS', root .. ':limited') == 1) then return 2 end
  return left
end
