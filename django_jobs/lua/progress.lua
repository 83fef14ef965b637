#!lua flags=allow-oom
-- progress: what a running job says of itself; only the claim that stands may say it.
-- KEYS: <root> <root>:queue
-- ARGV: worker, id, token, text
-- Returns: 1 applied | 0 already done | -1 another's
local root, worker, id, token = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local owner = redis.call('HGET', root .. ':processing', id)
local answer = standing(root, id, token, worker, owner)
if answer == 1 then redis.call('HSET', job_key(root, id), 'progress', ARGV[4]) end
return answer
