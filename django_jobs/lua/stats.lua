#!lua flags=no-writes
-- stats: how many jobs are in each state; 0 where a key is of a wrong type, which `check` names.
-- KEYS: <root> <root>:queue
-- Returns: {active, processing, failed, scheduled, 1 if paused, succeeded and kept}
local function count(command, name, ...)
  local found = redis.pcall(command, KEYS[1] .. ':' .. name, ...)
  return type(found) == 'table' and 0 or tonumber(found) or 0
end
return {count('LLEN', 'active') + count('ZCARD', 'priority') + count('ZCARD', 'limited') - count('HGET', 'counts', 'cancelled'),
  count('HLEN', 'processing'), count('ZCARD', 'failed'), count('ZCARD', 'scheduled'),
  count('HEXISTS', 'meta', 'paused'), count('ZCOUNT', 'succeeded', now_ms(), '+inf')}
