#!lua flags=allow-oom
-- limit: an operator's limits, which go before those of the settings until they are taken back.
-- KEYS: <root> <root>:queue
-- ARGV: limits ("" for none; see _limits), or `settings` to take them back
-- Returns: 1 changed | 0 it was so
local meta = KEYS[1] .. ':meta'
local before = redis.call('HGET', meta, 'operator_limits')
if before == ARGV[1] or (not before and ARGV[1] == 'settings') then return 0 end
if ARGV[1] == 'settings' then
  redis.call('HDEL', meta, 'operator_limits')
else
  redis.call('HSET', meta, 'operator_limits', ARGV[1])
end
put_in_force(KEYS[1])
return 1
