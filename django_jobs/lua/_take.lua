-- Prelude of claim, 7: taking jobs out of the places where they wait.

-- Takes from one place until there is no room; returns false when the place is empty. Looks
-- further at each turn, so that many cancelled ids in front of a job do not hide it.
local function take_from(root, place, queue, room, now, ids, jobs, turn)
  local seen, gone = waiting(root, place, math.min(room.slots + room.ahead + (turn - 1) * 100, 500)), {}
  for _, id in ipairs(seen) do
    local job = inspect(root, id)
    if not job or job[1] then
      drop(root, id, job, now)
    elseif expired(job, now) then
      expire(root, id, job, now)
    elseif fits(room, job) then
      local kind = room.slots > 0 and 'slots' or 'ahead'
      room[kind] = room[kind] - 1
      start(root, id, job, queue, now)
      ids[#ids + 1], jobs[#jobs + 1] = id, job
    else
      break
    end
    gone[#gone + 1] = id
  end
  remove(root, place, gone)
  return #gone > 0
end

-- The list and the keys go first in turn: neither waits for the other to be empty.
local KEYS_FIRST = {'before', 'keys', 'list', 'behind'}

local function places(root, room)
  if room.slots < 1 or redis.call('ZCARD', root .. ':ring') == 0 then return PLACES end
  return redis.call('HINCRBY', root .. ':meta', 'turn', 1) % 2 == 1 and KEYS_FIRST or PLACES
end

local function take(root, queue, worker, room, now, jobs)
  local ids, owners = {}, {}
  for _, place in ipairs(places(root, room)) do
    if place == 'keys' then take_by_key(root, queue, room, now, ids, jobs) end
    for turn = 1, place == 'keys' and 0 or 10 do
      if room.slots + room.ahead < 1 or not take_from(root, place, queue, room, now, ids, jobs, turn) then break end
    end
  end
  for i, id in ipairs(ids) do owners[2 * i - 1], owners[2 * i] = id, worker end
  if #ids > 0 then redis.call('HSET', root .. ':processing', unpack(owners)) end
  return ids
end
