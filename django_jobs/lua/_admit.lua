-- Prelude of claim: whether it may be made.

-- What is wrong with a queue's indexes, or nil; the size of each goes into `sizes`.
local function wrong_type(root, sizes, verb, ...)
  for _, name in ipairs({...}) do
    local size = redis.pcall(verb, root .. ':' .. name)
    if type(size) == 'table' then return name .. ': ' .. size.err end
    sizes[name] = size
  end
end

local function wrong_index(root, sizes)
  return wrong_type(root, sizes, 'LLEN', 'active') or wrong_type(root, sizes, 'STRLEN', 'queue')
    or wrong_type(root, sizes, 'ZCARD', 'priority', 'failed', 'scheduled', 'ring')
    or wrong_type(root, sizes, 'HLEN', 'processing', 'counts', 'groups')
    or sizes.ring > 0 and (wrong_type(root, sizes, 'ZCARD', 'limited') or wrong_type(root, sizes, 'HLEN', 'keyed', 'running', 'limit'))
end

-- May this worker claim under this number? A number seen before gets nothing. Every index is
-- looked at before anything is written: one of a wrong type stops its own queue and no other.
-- Then what `meta` says, and how long the indexes are.
local function admit(root, worker, number)
  local sizes = {}
  local problem = wrong_index(root, sizes)
  if problem then return problem end
  local score = redis.pcall('ZSCORE', root .. ':workers', worker)
  if type(score) == 'table' then return 'workers: ' .. score.err end
  local lease = tonumber(score)
  if not lease or lease == 0 then return 'unregistered' end
  if lease < 0 then return 'closed' end
  local seen = redis.pcall('HGET', root .. ':claims', worker)
  if type(seen) == 'table' then return 'claims: ' .. seen.err end
  if seen and tonumber(seen:match('^%d+')) >= number then return 'seen' end
  local meta = redis.pcall('HMGET', root .. ':meta', 'paused', 'limits', 'paid_until', 'schedules_at')
  if meta.err then return 'meta: ' .. meta.err end
  return 'ok', meta, sizes
end
