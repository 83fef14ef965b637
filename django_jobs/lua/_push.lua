-- Prelude of push: one job.

-- `options` as push reads them; `fields` of the hash begin with handler and payload.
local function push_new(root, id, options, unique, fields, now)
  local due, expires = moment(options.due or '', now), moment(options.expires or '', now)
  if due and due > now then
    schedule(root, id, due, now)
    redis.call('HSET', job_key(root, id), 'state', 'scheduled', 'due_at', due, 'more', 1)
  else
    place_last(root, id, tonumber(options.priority) or 0, options.limit_key, options.limit)
    hint(root)
  end
  redis.call('HSET', job_key(root, id), 'enqueued_at', now, unpack(fields))
  if expires then redis.call('HSET', job_key(root, id), 'expires_at', expires, 'more', 1) end
  if unique then
    local ttl = tonumber(unique.how)
    lock(root, id, unique.key, ttl)
    redis.call('HSET', job_key(root, id), unique.how == 'start' and 'unique_start' or 'unique', unique.key, 'more', 1)
    if ttl then redis.call('HSET', job_key(root, id), 'unique_for', ttl) end
  end
  return 1
end

local function push_one(root, id, options, fields, now)
  if options.seal then return seal(root, id, options, now) end
  if options.callback then return keep_callback(root, options.batch, options.callback, fields, now) end
  if redis.call('EXISTS', job_key(root, id)) == 1 then return 0 end
  if options.batch and in_batch(root, options.batch, id) then return 0 end
  local unique, other, state = read_unique(options.unique)
  if unique then other, state = stands(root, unique.key) end
  if other then return join(root, id, other, state, unique.replace, fields[4], moment(options.due or '', now), now) end
  local answer = push_new(root, id, options, unique, fields, now)
  if options.batch then enter_batch(root, options.batch, id, now) end -- not before: that may fail
  return answer
end

-- A push that may come again when its job has ended leaves a tombstone for so many ms.
local function push_once(root, id, options, fields, now)
  local stone = options.tombstone and tombstone(root, id)
  if stone and redis.call('EXISTS', stone) == 1 then return 0 end
  local answer = push_one(root, id, options, fields, now)
  if stone then redis.call('SET', stone, 1, 'PX', options.tombstone) end
  return answer
end
