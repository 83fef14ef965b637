-- Prelude: how a job that was processing waits again.

-- Behind the others at once, or scheduled `delay` ms ahead.
local function wait_again(root, id, delay, now)
  if stopped(root, id, now) then return end
  local key = job_key(root, id)
  redis.call('HDEL', key, 'started_at', 'score', 'progress')
  if delay > 0 then
    redis.call('HSET', key, 'state', 'scheduled')
    return schedule(root, id, now + delay, now)
  end
  redis.call('HDEL', key, 'state')
  place_behind(root, id)
  hint(root)
end

-- After a crash: to the head once, later after a delay of its own, so that innocent
-- neighbours part from the culprit; failed when its attempts are used up.
local function return_crashed(root, id, exception, now)
  local key = job_key(root, id)
  local job = redis.call('HMGET', key, 'attempts', 'max_attempts', 'crashes', 'score', 'limit_key', 'limit')
  local crashes = (tonumber(job[3]) or 0) + 1
  redis.call('HSET', key, 'crashes', crashes)
  if stopped(root, id, now) then return 'failed' end
  if (tonumber(job[1]) or 0) >= (tonumber(job[2]) or 5) then
    bury(root, id, exception, now)
    return 'failed'
  elseif crashes > 1 then
    local jitter = tonumber(redis.sha1hex(id .. now):sub(1, 6), 16) / 2 ^ 24
    wait_again(root, id, math.ceil(jitter * 1000 * 2 ^ math.min(crashes, 8)), now)
    return 'scheduled'
  end
  redis.call('HDEL', key, 'state', 'started_at')
  place_first(root, id, job[4], job[5], job[6])
  hint(root)
  return 'active'
end

local function lower_attempts(key)
  local attempts = tonumber(redis.call('HGET', key, 'attempts')) or 0
  if attempts > 0 then redis.call('HSET', key, 'attempts', attempts - 1) end
end
