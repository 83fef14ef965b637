#!lua flags=allow-oom
-- configure: what the settings say of a queue; those of the `runjobs` that began last count.
-- KEYS: <root> <root>:queue
-- ARGV: for how many ms that `runjobs` has been running, its limits ("" for none; see _limits), and
--       the handler of what other programs push, and its max_attempts ("" for none; see _adopt)
-- Returns: 1 they count | 0 a newer one has spoken, or there was and is nothing to say
local meta, now = KEYS[1] .. ':meta', now_ms()
local said = redis.call('HMGET', meta, 'settings_at', 'settings_limits')
local at, began = tonumber(said[1]) or 0, now - ARGV[1]
if at > began and at <= now then return 0 end -- what lies ahead was written before the clock was set back
if ARGV[2] == '' and ARGV[3] == '' and not said[2] then return 0 end
redis.call('HSET', meta, 'settings_at', began, 'settings_limits', ARGV[2], 'handler', ARGV[3])
if ARGV[2] ~= said[2] then put_in_force(KEYS[1]) end
return 1
