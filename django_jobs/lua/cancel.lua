#!lua flags=allow-oom
-- cancel: active | scheduled -> gone, by an operator. An id in the list stays there (LREM would
-- scan it) with a hash that says so, and is dropped when claim comes to it.
-- KEYS: <root> <root>:queue
-- ARGV: id, or one that leads to the job that stands for it
-- Returns: 1 cancelled | 0 it is in another state
local root, id = KEYS[1], real_id(KEYS[1], ARGV[1])
local listed = withdraw(root, id)
if not listed then return 0 end
if listed == 1 then
  redis.call('HSET', job_key(root, id), 'listed', 1, 'more', 1)
  redis.call('HINCRBY', root .. ':counts', 'cancelled', 1)
end
erase(root, id)
return 1
