-- Prelude of claim: what a claim leaves behind.

-- How long one worker may sleep before it looks for what falls due; -1 for the others. That is a
-- schedule, at `at`, and, unless the queue is paused and `own` nil, a job, or the next turn of its rate.
local function alarm(root, worker, at, own, now)
  local due = own and tonumber(redis.call('ZRANGE', root .. ':scheduled', 0, 0, 'WITHSCORES')[2])
  local turn = own and next_turn(own, now)
  if turn then due = math.min(due or turn, turn) end
  if at then due = math.min(due or at, at) end
  if not due then return -1 end
  local held = redis.call('HMGET', root .. ':meta', 'alarm_worker', 'alarm_at')
  local other = tonumber(held[2])
  if held[1] ~= worker and other and other > now and other <= due then return -1 end
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
