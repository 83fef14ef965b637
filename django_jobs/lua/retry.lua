#!lua flags=allow-oom
-- retry: failed -> active, by an operator: attempts begin anew, token and errors stay.
-- KEYS: <root> <root>:queue
-- ARGV: id
-- Returns: 1 moved | 0 it is not failed
local root, id, key = KEYS[1], ARGV[1], job_key(KEYS[1], ARGV[1])
local job = job_fields(root, id, 'state', 'priority', 'listed')
if not job or job[1] ~= 'failed' then return 0 end
redis.call('ZREM', root .. ':failed', id)
redis.call('HDEL', key, 'state', 'failed_at', 'exception', 'attempts', 'crashes', 'started_at',
  'unknown_since', 'progress')
if job[3] then
  redis.call('HDEL', key, 'listed')
  redis.call('HINCRBY', root .. ':counts', 'cancelled', -1)
else
  place_last(root, id, tonumber(job[2]) or 0)
end
hint(root)
return 1
