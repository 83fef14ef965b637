#!lua flags=allow-oom
-- pause_schedule: it is not due any more.
-- KEYS: <root> <root>:queue
-- ARGV: name
-- Returns: 1 paused now | 0 it was, or there is no such schedule
local due = redis.call('ZSCORE', KEYS[1] .. ':schedules', ARGV[1])
if not due or due == 'inf' then return 0 end
set_due(KEYS[1], ARGV[1], 'inf', now_ms())
return 1
