-- Prelude of claim, 6: schedules.
local NAMED = 10

-- Names schedules that are due, and what tells when they are due next; `first` is when one is.
local function name_due(root, queue, first, now, due)
  if not first or first > now then return end
  local found = redis.pcall('ZRANGE', root .. ':schedules', '-inf', now, 'BYSCORE', 'LIMIT', 0, NAMED, 'WITHSCORES')
  if found.err then return end
  for i = 1, #found, 2 do
    local schedule = redis.pcall('HMGET', root .. ':schedule:' .. found[i], 'since', 'missed', 'cron', 'every', 'timezone')
    if not schedule.err then due[#due + 1] = {queue, found[i], found[i + 1], unpack(schedule)} end
  end
end
