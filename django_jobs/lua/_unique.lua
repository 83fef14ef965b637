-- Prelude: one job of a kind at a time. `unique:<hash of the key>` holds the id of the job that
-- stands; its hash has the key as `unique`, or as `unique_start` if it is free when the job begins.
local function lock_key(root, unique) return root .. ':unique:' .. redis.sha1hex(unique) end

-- Who stands for a key: id and state, or nil if that job is gone, or has ended.
local function stands(root, unique)
  local id = redis.pcall('GET', lock_key(root, unique))
  local job = type(id) == 'string' and job_fields(root, id, 'state', 'unique', 'unique_start')
  if not job or (job[2] or job[3]) ~= unique then return nil end
  local state = job[1] or 'active'
  if state == 'active' or state == 'scheduled' or state == 'processing' then return id, state end
end

-- `ttl` in ms, or false.
local function lock(root, id, unique, ttl)
  if ttl then return redis.call('SET', lock_key(root, unique), id, 'PX', ttl) end
  redis.call('SET', lock_key(root, unique), id)
end

-- Only the job that stands frees its key.
local function unlock(root, id, unique)
  if unique and redis.pcall('GET', lock_key(root, unique)) == id then redis.call('DEL', lock_key(root, unique)) end
end

-- For a day the id of a push that found another job standing leads to that one.
local function alias(root, id, other) redis.call('SET', root .. ':alias:' .. id, other, 'EX', 86400) end

local function real_id(root, id)
  local other = redis.call('EXISTS', job_key(root, id)) == 0 and redis.pcall('GET', root .. ':alias:' .. id)
  return type(other) == 'string' and other or id
end
