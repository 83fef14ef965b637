-- Prelude of claim: the places where claimable jobs wait.
local PLACES = {'before', 'list', 'keys', 'behind'}

local INDEX_OF = {before = 'priority', list = 'active', keys = 'ring', behind = 'priority'}

-- The next `count` ids of a place: before the list, in it, with a limit key, or after the list.
local function waiting(root, place, count)
  if place == 'list' then
    local ids, tail = {}, redis.call('LRANGE', root .. ':active', -count, -1)
    for i = #tail, 1, -1 do ids[#ids + 1] = tail[i] end
    return ids
  end
  if place == 'keys' then return redis.call('ZRANGE', root .. ':limited', 0, count - 1) end
  local low, high = '-inf', '(0'
  if place == 'behind' then low, high = '(0', '+inf' end
  return redis.call('ZRANGEBYSCORE', root .. ':priority', low, high, 'LIMIT', 0, count)
end

local function remove(root, place, ids)
  if #ids == 0 then return end
  if place == 'list' then return redis.call('LTRIM', root .. ':active', 0, -#ids - 1) end
  redis.call('ZREM', root .. (place == 'keys' and ':limited' or ':priority'), unpack(ids))
end
