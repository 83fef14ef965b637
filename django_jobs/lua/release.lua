#!lua flags=allow-oom
-- release: processing -> active (the head) | scheduled: given back, the attempt not counted.
-- KEYS: <root> <root>:queue
-- ARGV: worker, "" or "unknown" (its handler: later, the longer it is unknown), then id and
--       token of each job, oldest first
-- Returns: per job 1 applied | 0 already done | -1 another's
local root, worker, answers, now = KEYS[1], ARGV[1], {}, now_ms()
local interval = interval_of(redis.call('HGET', root .. ':meta', 'limits'))
for i = #ARGV - 1, 3, -2 do
  local id, token, key = ARGV[i], ARGV[i + 1], job_key(root, ARGV[i])
  local answer = standing(root, id, token, worker, redis.call('HGET', root .. ':processing', id))
  answers[(i - 1) / 2] = answer
  if answer == 1 then
    vacate(root, {id})
    lower_attempts(key)
    if interval then redis.call('HINCRBYFLOAT', root .. ':meta', 'paid_until', -interval) end
    if ARGV[2] == 'unknown' then
      redis.call('HSETNX', key, 'unknown_since', now)
      redis.call('HSET', key, 'more', 1)
      local since = tonumber(redis.call('HGET', key, 'unknown_since')) or now
      wait_again(root, id, math.max(1000, math.min(30000, now - since)), now)
    elseif not stopped(root, id, now) then
      redis.call('HDEL', key, 'state', 'started_at')
      place_first(root, id, unpack(redis.call('HMGET', key, 'score', 'limit_key', 'limit')))
      hint(root)
    end
  end
end
return answers
