-- Prelude of push: what one job's arguments say.

-- Was this id pushed before? What may push it again when its job has ended leaves a tombstone.
local function known(root, id, keep)
  if keep == '' then return redis.call('EXISTS', job_key(root, id)) == 1 end
  return redis.call('EXISTS', job_key(root, id), tombstone(root, id)) > 0
end

local function remember(root, id, keep)
  if keep ~= '' then redis.call('SET', tombstone(root, id), 1, 'PX', keep) end
end

-- Another job stands for this one: its id leads there, and its payload and due time may go there.
local function join(root, id, other, state, replace, payload, due, now)
  alias(root, id, other)
  if not replace or state == 'processing' then return 2 end
  redis.call('HSET', job_key(root, other), 'payload', payload)
  if state == 'scheduled' then
    redis.call('HSET', job_key(root, other), 'due_at', due or now, 'more', 1)
    schedule(root, other, due or now, now)
  end
  return 2
end

-- "" or "<how>:<key>", how: end | start | ms, behind a `+` to replace what stands.
local function read_unique(text)
  local replace, how, key = text:match('^(%+?)(%w+):(.*)$')
  if key then return {key = key, how = how, replace = replace == '+'} end
end

-- `fields` of the hash begin with handler and payload.
local function push_new(root, id, due, expires, priority, unique, fields, now)
  if due and due > now then
    schedule(root, id, due, now)
    redis.call('HSET', job_key(root, id), 'state', 'scheduled', 'due_at', due, 'more', 1)
  else
    place_last(root, id, priority)
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
