-- Prelude of claim: jobs with a limit key.

-- Takes from the keys, one job at each turn, until there is no room. An id in a key's list that is
-- not among the `limited` was taken out of there.
local function take_by_key(root, queue, room, now, ids, jobs)
  for _ = 1, 500 do
    local key = room.slots > 0 and redis.call('ZPOPMIN', root .. ':ring')[1]
    if not key then return end
    local id = has_room(root, key) and redis.pcall('RPOP', key_list(root, key))
    if type(id) == 'string' and redis.call('ZREM', root .. ':limited', id) == 1 then
      local job = inspect(root, id)
      if not job or job[1] then
        drop(root, id, job, now)
      elseif expired(job, now) then
        expire(root, id, job, now)
      else
        room.slots = room.slots - 1
        start(root, id, job, queue, now)
        enter_key(root, id, key)
        ids[#ids + 1], jobs[#jobs + 1] = id, job
      end
    end
    offer(root, key)
  end
end
