-- Prelude: batches. `batch:<id>` counts its jobs by how they stand: waiting, succeeded, failed,
-- cancelled; it has its `total` when it is sealed. `batch:<id>:jobs` says it of each. What is to follow
-- stands beside it, as the hash of a job, and becomes that job once.
local CALLBACKS = {'on_complete', 'on_success', 'on_failure'}

local function batch_key(root, batch) return root .. ':batch:' .. batch end

local function follow(root, batch, name, counts, now)
  local key = batch_key(root, batch)
  local id = redis.call('HGET', key, name)
  if not id or redis.call('EXISTS', key .. ':' .. name) == 0 then return end -- it was pushed, or is to come
  redis.call('HDEL', key, name)
  redis.call('RENAME', key .. ':' .. name, job_key(root, id))
  local text = '{"batch":"%s","total":%d,"succeeded":%d,"failed":%d,"cancelled":%d,"payload":'
  local own = redis.call('HGET', job_key(root, id), 'payload') or 'null'
  redis.call('HSET', job_key(root, id), 'enqueued_at', now, 'payload', string.format(text, batch, unpack(counts)) .. own .. '}')
  place_behind(root, id)
  hint(root)
end

-- When all jobs of a sealed batch have ended, what is to follow is pushed; a failed one may be retried yet.
local function finish(root, batch, now)
  local key = batch_key(root, batch)
  local counts = redis.call('HMGET', key, 'total', 'succeeded', 'failed', 'cancelled')
  if not counts[1] then return end
  for i = 1, 4 do counts[i] = tonumber(counts[i]) or 0 end
  if counts[2] + counts[3] + counts[4] < counts[1] then return end
  follow(root, batch, 'on_complete', counts, now)
  follow(root, batch, counts[3] > 0 and 'on_failure' or 'on_success', counts, now)
  redis.call('ZREM', root .. ':batches', batch)
  local keep = counts[3] == 0 and 3600 or 7 * 86400 -- a push that is sent again may come yet
  for _, name in ipairs({'', ':jobs', ':on_complete', ':on_success', ':on_failure'}) do redis.call('EXPIRE', key .. name, keep) end
end

-- A job of a batch stands so now; what it said twice counts once.
local function mark(root, batch, id, state, now)
  local key = batch and batch_key(root, batch)
  local before = key and redis.pcall('HGET', key .. ':jobs', id)
  if type(before) ~= 'string' or before == state or redis.call('TYPE', key).ok ~= 'hash' then return end
  redis.call('HSET', key .. ':jobs', id, state)
  redis.call('HINCRBY', key, before, -1)
  redis.call('HINCRBY', key, state, 1)
  finish(root, batch, now)
end
