-- Prelude of sweep: who is dead, and what they hold.

-- Is every index of the type it must be? One that is not stops its own queue and no other.
local function sound(root)
  local indexes = {processing = 'HLEN', suspects = 'HLEN', claims = 'HLEN', groups = 'HLEN', workers = 'ZCARD',
    failed = 'ZCARD', succeeded = 'ZCARD', ring = 'ZCARD', limited = 'ZCARD', keyed = 'HLEN', running = 'HLEN', limit = 'HLEN'}
  for name, size in pairs(indexes) do
    if type(redis.pcall(size, root .. ':' .. name)) == 'table' then return false end
  end
  return true
end

-- Two looks at the same expired lease, `grace` apart: after a restart of Redis every lease looks
-- expired once. Returns whether a worker was found dead now.
local function suspect(root, now, grace)
  local workers, suspects, found = root .. ':workers', root .. ':suspects', false
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, 0, now, 'LIMIT', 0, 100)) do
    local lease = redis.call('ZSCORE', workers, worker)
    local seen, at = (redis.call('HGET', suspects, worker) or ''):match('^(%S+) (%d+)$')
    if seen ~= lease then
      redis.call('HSET', suspects, worker, lease .. string.format(' %d', now))
    elseif tonumber(at) + grace <= now then
      for _, name in ipairs({'suspects', 'about', 'orders'}) do redis.pcall('HDEL', root .. ':' .. name, worker) end
      redis.call('ZADD', workers, grace - now, worker)
      found = true
    end
  end
  return found
end

-- A closed worker's jobs are its supervisor's to settle for one grace. One that nobody knows is
-- entered with a lease of 0 and looked at twice, as any other: it may only have lost its entry.
local function dead(root, worker, now, grace)
  local lease = tonumber(redis.call('ZSCORE', root .. ':workers', worker))
  if not lease then redis.call('ZADD', root .. ':workers', 0, worker) end
  return lease and lease < 0 and -lease + grace <= now
end
