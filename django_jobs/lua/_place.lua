-- Prelude: where a job waits. `active` is taken from the right, `priority` from the lowest score.
local function place_last(root, id, priority, limit_key, limit)
  if limit_key then return wait_by_key(root, id, 'LPUSH', limit_key, limit) end
  if priority == 0 then return redis.call('LPUSH', root .. ':active', id) end
  local score = redis.call('INCR', root .. ':queue') - priority * 2 ^ 44
  redis.call('ZADD', root .. ':priority', score, id) -- may fail: before the hash is begun
  redis.call('HSET', job_key(root, id), 'score', string.format('%.0f', score))
end

-- The same for a job whose hash says how.
local function place_behind(root, id)
  local job = redis.call('HMGET', job_key(root, id), 'priority', 'limit_key', 'limit')
  place_last(root, id, tonumber(job[1]) or 0, job[2], job[3])
end

-- Back to where it was taken from. `score` as it was read, or false.
local function place_first(root, id, score, limit_key, limit)
  if limit_key then return wait_by_key(root, id, 'RPUSH', limit_key, limit) end
  if score then return redis.call('ZADD', root .. ':priority', score, id) end
  redis.call('RPUSH', root .. ':active', id)
end

-- Wakes a worker if all would look too late for what is due then.
local function expect(root, due, now)
  local alarm = tonumber(redis.call('HGET', root .. ':meta', 'alarm_at'))
  if not alarm or alarm > due or alarm < now then hint(root) end
end

-- Puts a job among the scheduled.
local function schedule(root, id, due, now)
  redis.call('ZADD', root .. ':scheduled', due, id)
  expect(root, due, now)
end

-- scheduled -> active, up to `limit` that are due; returns how many.
local function promote_due(root, now, limit)
  local due = redis.call('ZRANGEBYSCORE', root .. ':scheduled', '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local job = job_fields(root, id, 'priority', 'state', 'limit_key', 'limit')
    if job then
      place_last(root, id, tonumber(job[1]) or 0, job[3], job[4])
      redis.call('HDEL', job_key(root, id), 'state')
    else
      place_last(root, id, 0)
    end
  end
  if #due > 0 then redis.call('ZREM', root .. ':scheduled', unpack(due)) end
  return #due
end
