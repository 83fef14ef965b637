#!lua flags=allow-oom
-- fail: active | scheduled -> failed, by an operator: stop retrying. An id in the list stays there
-- (LREM would scan it), marked `listed`, and is dropped when claim comes to it.
-- KEYS: <root> <root>:queue
-- ARGV: id, exception class, error (JSON)
-- Returns: 1 moved | 0 it is in another state
local root, id, now = KEYS[1], ARGV[1], now_ms()
local listed = withdraw(root, id)
if not listed then return 0 end
if listed == 1 then
  redis.call('HSET', job_key(root, id), 'listed', 1, 'more', 1)
  redis.call('HINCRBY', root .. ':counts', 'cancelled', 1)
end
record_error(root, id, redis.call('HGET', job_key(root, id), 'token') or '0', ARGV[3], '', now)
redis.call('HDEL', job_key(root, id), 'score')
bury(root, id, ARGV[2], now)
return 1
