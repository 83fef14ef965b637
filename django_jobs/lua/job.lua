#!lua flags=no-writes
-- job: everything Redis knows of one job.
-- KEYS: <root> <root>:queue
-- ARGV: id, or one that leads to the job that stands for it
-- Returns: {fields and values of its hash, its worker or "", when it is due (ms) or "", its id}
local root, id = KEYS[1], real_id(KEYS[1], ARGV[1])
local fields = redis.pcall('HGETALL', job_key(root, id))
if fields.err then fields = {} end
return {fields, redis.call('HGET', root .. ':processing', id) or '',
  redis.call('ZSCORE', root .. ':scheduled', id) or '', id}
