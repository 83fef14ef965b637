#!lua flags=allow-oom
-- promote: scheduled -> active, what is due by the server's clock. Claim does the same by itself.
-- KEYS: <root> <root>:queue
-- ARGV: limit
-- Returns: how many were moved
local root = KEYS[1]
local moved = promote_due(root, now_ms(), ARGV[1])
if moved > 0 then hint(root) end
return moved
