#!lua flags=allow-oom
-- remove_schedule: deletes a schedule; the jobs it has pushed stay.
-- KEYS: <root> <root>:queue
-- ARGV: name
-- Returns: 1 removed now | 0 there is no such schedule
local removed = forget_schedule(KEYS[1], ARGV[1])
note_first(KEYS[1], now_ms())
return removed
