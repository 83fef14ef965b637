#!lua flags=allow-oom
-- stop: asks the worker that runs a job to stop it; it hears it at its supervisor's next report.
-- Whatever becomes of the run, the job is not tried again: see `stopped` in _groups.
-- KEYS: <root> <root>:queue
-- ARGV: id, or one that leads to the job that stands for it
-- Returns: 1 asked | 0 it does not run
local root, id = KEYS[1], real_id(KEYS[1], ARGV[1])
local owner = redis.call('HGET', root .. ':processing', id)
if not owner or not job_fields(root, id, 'state') then return 0 end
redis.call('HSET', job_key(root, id), 'stop', 1)
redis.call('HSET', root .. ':stops', id, owner)
return 1
