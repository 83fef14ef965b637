#!lua
-- run_schedule: (nothing) -> active: one job of a schedule, at once. When it is due next stays.
-- KEYS: <root> <root>:queue
-- ARGV: name, new job id
-- Returns: 1 done | 0 there is no such schedule
local now = now_ms()
if not is_schedule(KEYS[1], ARGV[1]) then return 0 end
push_occurrence(KEYS[1], ARGV[1], ARGV[2], string.format('%d', now), now)
return 1
