-- Prelude of push: batches are gathered.

local function open_batch(root, batch, now)
  redis.call('HSETNX', batch_key(root, batch), 'created_at', now)
  if redis.call('HEXISTS', batch_key(root, batch), 'total') == 0 then redis.call('ZADD', root .. ':batches', 'NX', now, batch) end
end

-- Has the job been in the batch before, even if it has ended since?
local function in_batch(root, batch, id)
  return redis.call('HEXISTS', batch_key(root, batch) .. ':jobs', id) == 1
end

local function enter_batch(root, batch, id, now)
  open_batch(root, batch, now)
  redis.call('HSET', batch_key(root, batch) .. ':jobs', id, 'waiting')
  redis.call('HINCRBY', batch_key(root, batch), 'waiting', 1)
end

-- A job that is to follow waits beside the batch. Whoever comes last finishes it: they may come in any order.
local function keep_callback(root, batch, name, fields, now)
  local key = batch_key(root, batch) .. ':' .. name
  if redis.call('EXISTS', key) == 1 then return 0 end
  open_batch(root, batch, now)
  redis.call('HSET', key, unpack(fields))
  finish(root, batch, now)
  return 1
end

-- How many jobs there are, and what is to follow, is known when all were sent.
local function seal(root, batch, options, now)
  if redis.call('HEXISTS', batch_key(root, batch), 'total') == 1 then return 0 end
  open_batch(root, batch, now)
  for _, name in ipairs(CALLBACKS) do
    if options[name] then redis.call('HSET', batch_key(root, batch), name, options[name]) end
  end
  redis.call('HSET', batch_key(root, batch), 'total', options.seal)
  finish(root, batch, now)
  return 1
end
