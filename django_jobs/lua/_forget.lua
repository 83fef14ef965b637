-- Prelude of sweep: what may be forgotten.

-- A job that lost its hash, or was taken out of processing by hand, still counts for its key.
local function free_keys(root)
  for _, id in ipairs(redis.call('HRANDFIELD', root .. ':keyed', 20)) do
    if redis.call('HEXISTS', root .. ':processing', id) == 0 then leave_key(root, id) end
  end
end

-- Workers closed a day ago, but for those that hold jobs, results that were kept long enough, and
-- failed jobs older than the queue's FAILED_TTL.
local function forget(root, now, failed_ttl, owners)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', root .. ':workers', 86400000 - now, '(0', 'LIMIT', 0, 100)) do
    if not owners[worker] and redis.call('ZREM', root .. ':workers', worker) == 1 then
      redis.call('HDEL', root .. ':claims', worker)
    end
  end
  redis.call('ZREMRANGEBYSCORE', root .. ':succeeded', '-inf', now)
  if not failed_ttl then return end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', root .. ':failed', '-inf', now - failed_ttl, 'LIMIT', 0, 100)) do
    exhume(root, id, redis.call('HGET', job_key(root, id), 'group'))
    erase(root, id)
  end
end
