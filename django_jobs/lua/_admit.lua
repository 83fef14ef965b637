-- Prelude of claim, 1: whether it may be made.

local INDEXES = {{'LLEN', 'active'}, {'ZCARD', 'priority'}, {'HLEN', 'processing'}, {'ZCARD', 'workers'},
  {'ZCARD', 'failed'}, {'ZCARD', 'scheduled'}, {'HLEN', 'claims'}, {'HLEN', 'meta'}, {'HLEN', 'counts'}, {'HLEN', 'groups'}, {'ZCARD', 'succeeded'}, {'STRLEN', 'queue'}, {'ZCARD', 'ring'}}
local OF_KEYS = {{'ZCARD', 'limited'}, {'HLEN', 'keyed'}, {'HLEN', 'running'}, {'HLEN', 'limit'}}

local function wrong_type(root, indexes)
  for _, index in ipairs(indexes) do
    local size = redis.pcall(index[1], root .. ':' .. index[2])
    if type(size) == 'table' then return index[2] .. ': ' .. size.err end
  end
end

-- May this worker claim under this number? A number seen before gets nothing. Every index is
-- looked at before anything is written: one of a wrong type stops its own queue and no other.
local function admit(root, worker, number)
  local problem = wrong_type(root, INDEXES)
  if not problem and redis.call('ZCARD', root .. ':ring') > 0 then problem = wrong_type(root, OF_KEYS) end
  if problem then return problem end
  local lease = tonumber(redis.call('ZSCORE', root .. ':workers', worker))
  if not lease or lease == 0 then return 'unregistered' end
  if lease < 0 then return 'closed' end
  local seen = redis.call('HGET', root .. ':claims', worker)
  return seen and tonumber(seen:match('^%d+')) >= number and 'seen' or 'ok'
end
