#!lua flags=allow-oom
-- resume_schedule: it is due again; a worker says when: what would have been is not made up for.
-- KEYS: <root> <root>:queue
-- ARGV: name
-- Returns: 1 resumed now | 0 it was not paused
if redis.call('ZSCORE', KEYS[1] .. ':schedules', ARGV[1]) ~= 'inf' then return 0 end
set_due(KEYS[1], ARGV[1], 0, now_ms())
return 1
