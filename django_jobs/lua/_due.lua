-- Prelude of claim: schedules.
local NAMED = 10

-- Names schedules that are due: queue index, name, due, missed, cron, every, timezone. `first` is
-- when one is due; returned if that is not yet.
local function name_due(root, queue, first, now, due)
  if not first or first > now then return first end
  local found = redis.pcall('ZRANGE', root .. ':schedules', '-inf', now, 'BYSCORE', 'LIMIT', 0, NAMED, 'WITHSCORES')
  for i = 1, found.err and 0 or #found, 2 do
    local fields = redis.pcall('HMGET', root .. ':schedule:' .. found[i], 'missed', 'cron', 'every', 'timezone')
    if not fields.err then due[#due + 1] = {queue, found[i], found[i + 1], unpack(fields)} end
  end
end
