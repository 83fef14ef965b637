#!lua flags=allow-oom
-- claim: active (and what is due) -> processing, for a registered worker.
-- KEYS: <root> <root>:queue of each queue, in order of preference
-- ARGV: worker, claim number, lease ms, slots, ahead
-- Returns: {now ms, ms until to look again or -1, 1 if claimable jobs are left (2: all for a limit),
--           {per queue: ok | seen | closed | unregistered}, {per schedule that is due: see _due},
--           {queue index, fields, id, fields}...}
local worker, number, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- 2,000 jobs at most: Lua's unpack fails at 8,000 values, and here it comes after the writes.
local room = {slots = math.min(tonumber(ARGV[4]), 1000), ahead = math.min(tonumber(ARGV[5]), 1000), open = math.huge}
local now, states, due, jobs, look, left = now_ms(), {}, {}, {}, -1, 0
for i = 1, #KEYS, 2 do
  local root = KEYS[i]
  local state, meta, sizes = admit(root, worker, number)
  states[#states + 1] = state
  if state == 'ok' then
    redis.call('ZADD', root .. ':workers', 'XX', now + lease, worker)
    local ids, own = {}, nil
    local at = name_due(root, (i + 1) / 2, tonumber(meta[4]), now, due)
    if not meta[1] then
      if promote_due(root, now, 200) > 0 then sizes = nil end
      own = room_of(root, room, meta[2], meta[3], now)
      ids = take(root, (i + 1) / 2, worker, own, sizes, now, jobs)
      pay(root, room, own, #ids)
      left = leave(root, left, own)
    end
    look = sooner(look, alarm(root, worker, at, own, now))
    redis.call('HSET', root .. ':claims', worker, number .. ' ' .. table.concat(ids, ' '))
  end
end
return {now, look, left, states, due, unpack(jobs)}
