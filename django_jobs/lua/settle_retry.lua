#!lua flags=allow-oom
-- settle: processing -> active (behind the others) | scheduled, after a failed attempt.
-- KEYS: <root> <root>:queue
-- ARGV: worker, then per job: id, token, delay ms, error (JSON), traceback
-- Returns: per job 1 applied | 0 already done | -1 another's
local root, worker, answers, now = KEYS[1], ARGV[1], {}, now_ms()
for i = 2, #ARGV, 5 do
  local id, token, delay = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local answer = standing(root, id, token, worker, redis.call('HGET', root .. ':processing', id))
  answers[#answers + 1] = answer
  if answer == 1 then
    vacate(root, {id})
    record_error(root, id, token, ARGV[i + 3], ARGV[i + 4], now)
    redis.call('HDEL', job_key(root, id), 'unknown_since')
    wait_again(root, id, delay, now)
  end
end
return answers
