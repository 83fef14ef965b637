#!lua flags=allow-oom
-- count: adds what runs a worker has settled, and how they went, to this minute, this hour, and ever.
-- KEYS: <root> <root>:queue
-- ARGV: field, number...
-- Returns: 1
local now = now_ms()
local function add(key)
  for i = 1, #ARGV, 2 do redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1]) end
end
for kind, size in pairs({minute = 60000, hour = 3600000}) do
  local key = string.format('%s:%s:%d', KEYS[1], kind, math.floor(now / size))
  add(key)
  redis.call('PEXPIRE', key, kind == 'minute' and 2 * 3600000 or 8 * 86400000)
end
add(KEYS[1] .. ':total')
return 1
