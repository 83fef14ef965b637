#!lua flags=allow-oom
-- remove_schedule: deletes a schedule; the jobs it has pushed stay.
-- KEYS: <root> <root>:queue
-- ARGV: name
-- Returns: 1 removed now | 0 there is no such schedule
if not is_schedule(KEYS[1], ARGV[1]) then return 0 end
set_due(KEYS[1], ARGV[1], nil, now_ms())
return 1
