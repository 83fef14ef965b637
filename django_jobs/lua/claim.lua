#!lua flags=allow-oom
-- claim: active (and what is due) -> processing, for a registered worker.
-- KEYS: <root> <root>:queue of each queue, in order of preference
-- ARGV: worker, claim number, lease ms, slots, ahead
-- Returns: {now ms, ms until to look again or -1, 1 if claimable jobs are left,
--           {per queue: ok | seen | closed | unregistered}, {per schedule that is due: queue index,
--           name, due, since, missed, cron, every, timezone}, {queue index, fields, id, fields}...}
local worker, number, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- 2,000 jobs at most: Lua's unpack fails at 8,000 values, and here it comes after the writes.
local room = {slots = math.min(tonumber(ARGV[4]), 1000), ahead = math.min(tonumber(ARGV[5]), 1000)}
local now, states, due, jobs, look, left = now_ms(), {}, {}, {}, -1, 0
for i = 1, #KEYS, 2 do
  local root = KEYS[i]
  states[#states + 1] = admit(root, worker, number)
  if states[#states] == 'ok' then
    redis.call('ZADD', root .. ':workers', 'XX', now + lease, worker)
    local ids, meta = {}, redis.call('HMGET', root .. ':meta', 'paused', 'schedules_at')
    if not meta[1] then
      promote_due(root, now, 200)
      ids = take(root, (i + 1) / 2, worker, room, now, jobs)
      left = leave(root, left)
    end
    local first = tonumber(meta[2])
    name_due(root, (i + 1) / 2, first, now, due)
    look = sooner(look, alarm(root, worker, next_due(root, meta[1], first, now), now))
    redis.call('HSET', root .. ':claims', worker, number .. ' ' .. table.concat(ids, ' '))
  end
end
return {now, look, left, states, due, unpack(jobs)}
