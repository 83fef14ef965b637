#!lua flags=allow-oom
-- settle: processing -> active | scheduled: later, the attempt not counted.
-- KEYS: <root> <root>:queue
-- ARGV: worker, then per job: id, token, delay ms
-- Returns: per job 1 applied | 0 already done | -1 another's
local root, worker, answers, now = KEYS[1], ARGV[1], {}, now_ms()
for i = 2, #ARGV, 3 do
  local id, token = ARGV[i], ARGV[i + 1]
  local answer = standing(root, id, token, worker, redis.call('HGET', root .. ':processing', id))
  answers[#answers + 1] = answer
  if answer == 1 then
    vacate(root, {id})
    redis.call('HDEL', job_key(root, id), 'unknown_since')
    lower_attempts(job_key(root, id))
    wait_again(root, id, tonumber(ARGV[i + 2]), now)
  end
end
return answers
