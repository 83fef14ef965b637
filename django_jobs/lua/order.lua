#!lua flags=allow-oom
-- order: tells a worker something; its supervisor hears it at its next report.
-- KEYS: <root> <root>:queue
-- ARGV: worker, quiet | stop
-- Returns: 1 said | 0 there is no such worker
local root, lease = KEYS[1], redis.call('ZSCORE', KEYS[1] .. ':workers', ARGV[1])
if not lease or tonumber(lease) <= 0 then return 0 end
redis.call('HSET', root .. ':orders', ARGV[1], ARGV[2])
return 1
