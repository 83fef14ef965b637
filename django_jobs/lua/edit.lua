#!lua flags=allow-oom
-- edit: failed -> active with another payload, by an operator. The one it had stays in the job's
-- hash, under the token of the run it failed in: of many the first and the last two.
-- KEYS: <root> <root>:queue
-- ARGV: id, the payload as it was seen, the new one
-- Returns: 1 moved | 0 it is not failed, or its payload is another by now | the id of the job that
--          stands for its unique key
local root, id, key = KEYS[1], ARGV[1], job_key(KEYS[1], ARGV[1])
local job = job_fields(root, id, 'state', 'payload', 'token')
if not job or job[1] ~= 'failed' or job[2] ~= ARGV[2] then return 0 end
local answer = revive(root, id, 0, now_ms())
if answer ~= 1 then return answer end
redis.call('HSETNX', key, 'payload:' .. (job[3] or '0'), job[2])
redis.call('HSET', key, 'payload', ARGV[3])
trim(key, 'payload:', 3)
return 1
