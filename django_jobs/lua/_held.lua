-- Prelude: what workers hold.

-- Takes jobs out of processing; what they leave is room for others.
local function vacate(root, ids)
  if redis.call('EXISTS', root .. ':keyed') == 1 then
    for _, id in ipairs(ids) do leave_key(root, id) end
  end
  redis.call('HDEL', root .. ':processing', unpack(ids))
  if redis.call('HEXISTS', root .. ':meta', 'limits') == 1 and claimable(root) then hint(root) end
end

-- 1 this claim stands; 0 already settled or removed; -1 another's; then the job's unique key, and its batch.
-- `owner` is the id's value in processing; it alone decides for a hash that lost its token. An
-- id of ours without a hash has nothing left to settle.
local function standing(root, id, token, worker, owner)
  local job = redis.pcall('HMGET', job_key(root, id), 'token', 'state', 'unique', 'batch')
  if job.err or not (job[1] or job[2]) then
    if owner == worker then vacate(root, {id}) end
    return 0
  end
  if job[1] and job[1] ~= token then return -1 end
  if not owner then return 0 end
  return owner == worker and 1 or -1, job[3], job[4]
end
