#!lua flags=allow-oom
-- beat: registers workers under each queue they serve, and renews their leases.
-- KEYS: <root> <root>:queue of each queue
-- ARGV: lease ms, then workers
-- Returns: the workers that are closed, which stay closed
local now, closed = now_ms(), {}
for i = 1, #KEYS, 2 do
  local workers, suspects = KEYS[i] .. ':workers', KEYS[i] .. ':suspects'
  for k = 2, #ARGV do
    local lease = tonumber(redis.call('ZSCORE', workers, ARGV[k]))
    if lease and lease < 0 then
      closed[#closed + 1] = ARGV[k]
    else
      redis.call('ZADD', workers, now + ARGV[1], ARGV[k])
      redis.call('HDEL', suspects, ARGV[k])
    end
  end
end
return closed
