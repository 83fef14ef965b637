-- Prelude of claim: what a queue's limits leave of a worker's room. `paid_until` in `meta` is the
-- moment up to which the rate is used up: each job moves it on by its share of the time (ITU-T I.371).

-- Without limits it is the worker's own room; `open` is how many jobs more may begin.
local function room_of(root, room, limits, paid_until, now)
  if not limits then return room end
  local own = {slots = room.slots, ahead = 0, open = math.huge, interval = interval_of(limits)}
  local most = limits:match('concurrency=(%d+)')
  if most then own.open = most - redis.call('HLEN', root .. ':processing') end
  if own.interval then
    local oldest = now - (tonumber(limits:match('burst=(%d+)')) or 1) * own.interval
    own.paid_until = math.max(tonumber(paid_until) or 0, oldest)
    if own.paid_until > now then own.paid_until = oldest end -- the clock was set back
    own.open = math.min(own.open, math.floor((now - own.paid_until) / own.interval + 0.000001))
  end
  own.slots = math.max(0, math.min(own.slots, own.open))
  return own
end

local function pay(root, room, own, taken)
  if own == room then return end
  room.slots, own.open = room.slots - taken, own.open - taken
  if own.interval and taken > 0 then
    own.paid_until = own.paid_until + taken * own.interval
    redis.call('HSET', root .. ':meta', 'paid_until', own.paid_until)
  end
end

-- When the rate lets the next job begin, if it is the rate that holds it up.
local function next_turn(own, now)
  local at = own.interval and own.open < 1 and math.ceil(own.paid_until + own.interval)
  return at and at > now and at
end
