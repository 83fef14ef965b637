#!lua flags=allow-oom
-- settle: processing -> succeeded: the hash stays for a while, with the result.
-- KEYS: <root> <root>:queue
-- ARGV: worker, then per job: id, token, ttl ms, result (JSON)
-- Returns: per job 1 applied | 0 already done | -1 another's
local root, worker, answers, now = KEYS[1], ARGV[1], {}, now_ms()
for i = 2, #ARGV, 4 do
  local id, ttl, key = ARGV[i], tonumber(ARGV[i + 2]), job_key(root, ARGV[i])
  local answer, unique, batch = standing(root, id, ARGV[i + 1], worker, redis.call('HGET', root .. ':processing', id))
  answers[#answers + 1] = answer
  if answer == 1 then
    vacate(root, {id})
    unlock(root, id, unique)
    mark(root, batch, id, 'succeeded', now)
    redis.call('HDEL', key, 'score', 'progress', 'unknown_since', 'stop')
    redis.call('HSET', key, 'state', 'succeeded', 'finished_at', now, 'worker', worker, 'result', ARGV[i + 3])
    redis.call('PEXPIRE', key, ttl)
    redis.call('ZADD', root .. ':succeeded', now + ttl, id)
    tell_ended(root, {id})
  end
end
return answers
