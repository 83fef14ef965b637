#!lua flags=allow-oom
-- fire: (nothing) -> active: the job of a schedule that is due, and the time when it is due next.
-- If another worker was faster, or somebody changed the schedule meanwhile, nothing is done.
-- It may when Redis is full: workers do this, and they must go on, so that it drains.
-- KEYS: <root> <root>:queue
-- ARGV: name, due, cron, every and timezone ("": none) as claim named them, due next, then the
--       new job's id, or "" to push none, and 1 if that means that one was missed
-- Returns: 1 done | 0 it is not so any more
local root, name, now = KEYS[1], ARGV[1], now_ms()
if redis.call('ZSCORE', root .. ':schedules', name) ~= ARGV[2] then return 0 end
for i, part in ipairs(redis.call('HMGET', schedule_key(root, name), 'cron', 'every', 'timezone')) do
  if (part or '') ~= ARGV[2 + i] then return 0 end
end
if ARGV[7] ~= '' then
  push_occurrence(root, name, ARGV[7], ARGV[2], now)
elseif ARGV[8] == '1' then
  remember(schedule_key(root, name), ARGV[2] .. ' missed')
end
set_due(root, name, ARGV[6], now)
return 1
