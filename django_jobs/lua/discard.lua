#!lua flags=allow-oom
-- discard: failed -> gone, by an operator.
-- KEYS: <root> <root>:queue
-- ARGV: id
-- Returns: 1 discarded | 0 it is not failed
local root, id = KEYS[1], ARGV[1]
local job = job_fields(root, id, 'state', 'group')
if not job then return exhume(root, id) end -- its hash was lost
if job[1] ~= 'failed' then return 0 end
exhume(root, id, job[2])
erase(root, id)
return 1
