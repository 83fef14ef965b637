#!lua flags=allow-oom
-- resume_schedule: it is due again, from its first occurrence after now on.
-- KEYS: <root> <root>:queue
-- ARGV: name, since, as it was when the next was computed, due next
-- Returns: 1 resumed now | 0 it was not paused, or is not so any more
local root, name = KEYS[1], ARGV[1]
if redis.call('ZSCORE', root .. ':schedules', name) ~= 'inf' then return 0 end
if defined_at(root, name) ~= ARGV[2] then return 0 end
redis.call('ZADD', root .. ':schedules', ARGV[3], name)
note_first(root, now_ms())
return 1
