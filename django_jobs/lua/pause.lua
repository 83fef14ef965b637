#!lua flags=allow-oom
-- pause: claim gives nothing of this queue any more; what runs goes on.
-- KEYS: <root> <root>:queue
-- Returns: 1 paused now | 0 it was
return redis.call('HSETNX', KEYS[1] .. ':meta', 'paused', string.format('%d', now_ms()))
