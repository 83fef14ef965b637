#!lua flags=allow-oom
-- recover: processing -> active (the head) | scheduled (from the second crash on) | failed: taken
-- back from a dead worker, the attempt counted. The token rises: a late settle changes nothing.
-- KEYS: <root> <root>:queue
-- ARGV: exception class, error (JSON), then id, token, worker of each job, oldest first
-- Returns: per job active | scheduled | failed | "" (nothing changed)
local root, answers, now = KEYS[1], {}, now_ms()
for i = #ARGV - 2, 3, -3 do
  local id, token, worker = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local owner, place, key = redis.call('HGET', root .. ':processing', id), i / 3, job_key(root, id)
  answers[place] = ''
  if standing(root, id, token, worker, owner) == 1 then
    vacate(root, {id})
    record_error(root, id, token, ARGV[2], '', now)
    redis.call('HINCRBY', key, 'token', 1)
    answers[place] = return_crashed(root, id, ARGV[1], now)
  end
end
return answers
