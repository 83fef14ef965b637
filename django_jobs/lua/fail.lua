#!lua flags=allow-oom
-- fail: active | scheduled -> failed, by an operator: stop retrying.
-- KEYS: <root> <root>:queue
-- ARGV: id, exception class, error (JSON)
-- Returns: 1 moved | 0 it is in another state
local root, id, now = KEYS[1], ARGV[1], now_ms()
if not withdraw(root, id) then return 0 end
record_error(root, id, redis.call('HGET', job_key(root, id), 'token') or '0', ARGV[3], '', now)
redis.call('HDEL', job_key(root, id), 'score')
bury(root, id, ARGV[2], now)
return 1
