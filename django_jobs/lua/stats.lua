#!lua flags=no-writes
-- stats: how many jobs are in each state.
-- KEYS: <root> <root>:queue
-- Returns: {active, processing, failed, scheduled, 1 if paused, succeeded and kept}
local root = KEYS[1]
local stale = tonumber(redis.call('HGET', root .. ':counts', 'cancelled')) or 0
return {redis.call('LLEN', root .. ':active') + redis.call('ZCARD', root .. ':priority') - stale,
  redis.call('HLEN', root .. ':processing'), redis.call('ZCARD', root .. ':failed'),
  redis.call('ZCARD', root .. ':scheduled'), redis.call('HEXISTS', root .. ':meta', 'paused'),
  redis.call('ZCOUNT', root .. ':succeeded', now_ms(), '+inf')}
