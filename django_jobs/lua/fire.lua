#!lua flags=allow-oom
-- fire: (nothing) -> active: the job of a schedule that is due, and the time when it is due next.
-- If another worker was faster, or somebody changed the schedule meanwhile, nothing is done.
-- It may when Redis is full: workers do this, and they must go on, so that it drains.
-- KEYS: <root> <root>:queue
-- ARGV: name, due and since as claim named them, due next, new job id or "" (missed: it has none)
-- Returns: 1 done | 0 it is not so any more
local root, name, now = KEYS[1], ARGV[1], now_ms()
if redis.call('ZSCORE', root .. ':schedules', name) ~= ARGV[2] then return 0 end
if defined_at(root, name) ~= ARGV[3] then return 0 end
push_occurrence(root, name, ARGV[5], ARGV[2], now)
redis.call('ZADD', root .. ':schedules', ARGV[4], name)
note_first(root, now)
return 1
