-- Prelude of claim: taking jobs out of the places where they wait.

-- Takes from one place until there is no room; returns false when the place is empty. Looks
-- further at each turn, so that many cancelled ids in front of a job do not hide it.
local function take_from(root, place, queue, room, now, ids, jobs, turn)
  local seen, gone = waiting(root, place, math.min(room.slots + room.ahead + (turn - 1) * 100, 500)), {}
  for i, id in ipairs(seen) do
    local job = inspect(root, id)
    if not job and place == 'list' then id, job = adopt(root, id, -i, now) end
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
local function places(root, room, sizes)
  local turns = sizes and sizes.ring or redis.call('ZCARD', root .. ':ring')
  if room.slots < 1 or turns == 0 or redis.call('HINCRBY', root .. ':meta', 'turn', 1) % 2 == 0 then return PLACES end
  return {'before', 'keys', 'list', 'behind'}
end

-- `sizes` of the indexes, nil if they have changed: what is empty is not looked at.
local function take(root, queue, worker, room, sizes, now, jobs)
  local ids, owners = {}, {}
  for _, place in ipairs(places(root, room, sizes)) do
    local is_empty = sizes and sizes[INDEX_OF[place]] == 0
    if place == 'keys' and not is_empty then take_by_key(root, queue, room, now, ids, jobs) end
    for turn = 1, (is_empty or place == 'keys') and 0 or 10 do
      if room.slots + room.ahead < 1 or not take_from(root, place, queue, room, now, ids, jobs, turn) then break end
    end
  end
  for i, id in ipairs(ids) do owners[2 * i - 1], owners[2 * i] = id, worker end
  if #ids > 0 then redis.call('HSET', root .. ':processing', unpack(owners)) end
  return ids
end
