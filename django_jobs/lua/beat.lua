#!lua flags=allow-oom
-- beat: registers workers under each queue they serve, and renews their leases.
-- KEYS: <root> <root>:queue of each queue
-- ARGV: lease ms, then workers
-- Returns: the workers that are closed, which stay closed; a key of a wrong type stops its queue only
local now, closed = now_ms(), {}
for i = 1, #KEYS, 2 do
  local workers, suspects = KEYS[i] .. ':workers', KEYS[i] .. ':suspects'
  for k = 2, #ARGV do
    local found = redis.pcall('ZSCORE', workers, ARGV[k])
    local lease = type(found) ~= 'table' and tonumber(found)
    if lease and lease < 0 then
      closed[#closed + 1] = ARGV[k]
    elseif type(found) ~= 'table' then
      redis.call('ZADD', workers, now + ARGV[1], ARGV[k])
      redis.pcall('HDEL', suspects, ARGV[k])
    end
  end
end
return closed
