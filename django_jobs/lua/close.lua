#!lua flags=allow-oom
-- close: ends a worker's life. It can claim nothing more; a beat does not bring it back.
-- KEYS: <root> <root>:queue
-- ARGV: worker, 1 if no claim of it can be under way (then nothing needs to be remembered)
-- Returns: id and token of each job of its last claim that it still holds
local root, worker, answer, now = KEYS[1], ARGV[1], {}, now_ms()
local ids = (redis.call('HGET', root .. ':claims', worker) or ''):match(' (.*)$') or ''
for id in ids:gmatch('%S+') do
  if redis.call('HGET', root .. ':processing', id) == worker then
    answer[#answer + 1] = id
    answer[#answer + 1] = redis.call('HGET', job_key(root, id), 'token') or '0'
  end
end
if redis.call('HGET', root .. ':meta', 'alarm_worker') == worker then
  redis.call('HDEL', root .. ':meta', 'alarm_worker', 'alarm_at')
  hint(root)
end
for _, name in ipairs({'suspects', 'about', 'orders'}) do redis.pcall('HDEL', root .. ':' .. name, worker) end
if ARGV[2] == '1' and #answer == 0 then
  redis.call('ZREM', root .. ':workers', worker)
  redis.call('HDEL', root .. ':claims', worker)
else
  local lease = tonumber(redis.call('ZSCORE', root .. ':workers', worker))
  if not lease or lease >= 0 then redis.call('ZADD', root .. ':workers', -now, worker) end
end
return answer
