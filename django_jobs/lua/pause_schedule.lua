#!lua flags=allow-oom
-- pause_schedule: it is not due any more.
-- KEYS: <root> <root>:queue
-- ARGV: name
-- Returns: 1 paused now | 0 it was, or there is no such schedule
local root, name = KEYS[1], ARGV[1]
local due = redis.call('ZSCORE', root .. ':schedules', name)
if not due or due == 'inf' then return 0 end
redis.call('ZADD', root .. ':schedules', 'inf', name)
note_first(root, now_ms())
return 1
