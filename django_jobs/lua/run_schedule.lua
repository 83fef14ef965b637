#!lua
-- run_schedule: (nothing) -> active: one job of a schedule, at once. When it is due next stays.
-- KEYS: <root> <root>:queue
-- ARGV: name, new job id
-- Returns: 1 done | 0 there is no such schedule
local root, name, id, now = KEYS[1], ARGV[1], ARGV[2], now_ms()
if not defined_at(root, name) then return 0 end
if redis.call('EXISTS', job_key(root, id)) == 0 then
  push_occurrence(root, name, id, string.format('%d', now), now)
end
return 1
