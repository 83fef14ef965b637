#!lua flags=allow-oom
-- resume: claim gives jobs of this queue again.
-- KEYS: <root> <root>:queue
-- Returns: 1 resumed now | 0 it was not paused
local resumed = redis.call('HDEL', KEYS[1] .. ':meta', 'paused')
if resumed == 1 then hint(KEYS[1]) end
return resumed
