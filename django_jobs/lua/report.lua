#!lua flags=allow-oom
-- report: what workers say of themselves, for whoever looks; the answer is what they were told.
-- KEYS: <root> <root>:queue of each queue they serve
-- ARGV: per worker: its id, and a line of JSON
-- Returns: quiet and stop, as often as they were said to one of the workers, and `job <number of the
--          queue> <id>` for each job of theirs that is to be stopped
local told, asking = {}, {}
for k = 1, #ARGV, 2 do asking[ARGV[k]] = true end
for i = 1, #KEYS, 2 do
  for k = 1, #ARGV, 2 do
    local lease = redis.pcall('ZSCORE', KEYS[i] .. ':workers', ARGV[k])
    if type(lease) == 'string' and tonumber(lease) > 0 then
      redis.pcall('HSET', KEYS[i] .. ':about', ARGV[k], ARGV[k + 1])
      local order = redis.pcall('HGET', KEYS[i] .. ':orders', ARGV[k])
      if type(order) == 'string' then told[#told + 1] = order end
    end
  end
  local stops = redis.pcall('HGETALL', KEYS[i] .. ':stops')
  for k = 1, #stops, 2 do
    local runs = redis.pcall('HGET', KEYS[i] .. ':processing', stops[k]) == stops[k + 1]
    if not runs then redis.call('HDEL', KEYS[i] .. ':stops', stops[k]) end
    if runs and asking[stops[k + 1]] then told[#told + 1] = 'job ' .. (i + 1) / 2 .. ' ' .. stops[k] end
  end
end
return told
