#!lua flags=allow-oom
-- cancel: active | scheduled -> gone, by an operator; of an id in the list a hash is left that says so.
-- KEYS: <root> <root>:queue
-- ARGV: id, or one that leads to the job that stands for it
-- Returns: 1 cancelled | 0 it is in another state
local root, id = KEYS[1], real_id(KEYS[1], ARGV[1])
if not withdraw(root, id) then return 0 end
erase(root, id)
return 1
