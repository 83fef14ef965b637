-- Prelude of claim, 1: the three places where claimable jobs wait.
local PLACES = {'before', 'list', 'behind'}

-- The next `count` ids of one of three places: before, in, or after the list.
local function waiting(root, place, count)
  if place == 'list' then
    local ids, tail = {}, redis.call('LRANGE', root .. ':active', -count, -1)
    for i = #tail, 1, -1 do ids[#ids + 1] = tail[i] end
    return ids
  end
  local low, high = '-inf', '(0'
  if place == 'behind' then low, high = '(0', '+inf' end
  return redis.call('ZRANGEBYSCORE', root .. ':priority', low, high, 'LIMIT', 0, count)
end

local function remove(root, place, ids)
  if #ids == 0 then return end
  if place == 'list' then return redis.call('LTRIM', root .. ':active', 0, -#ids - 1) end
  redis.call('ZREM', root .. ':priority', unpack(ids))
end
