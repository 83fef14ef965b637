-- Prelude: what is kept of a job's attempts.

-- Keeps the first and the newest `keep - 1` of a kind of record; the oldest between go.
local function trim(key, kind, keep)
  local tokens = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local token = field:sub(1, #kind) == kind and tonumber(field:sub(#kind + 1))
    if token then tokens[#tokens + 1] = token end
  end
  table.sort(tokens)
  for i = 2, #tokens - keep + 1 do redis.call('HDEL', key, kind .. tokens[i]) end
end

-- `err` is a JSON object; its time, and when the attempt began, are put in front, by the server's clock.
local function record_error(root, id, token, err, traceback, now)
  local key = job_key(root, id)
  local began = tonumber(redis.call('HGET', key, 'started_at')) or 0
  redis.call('HSET', key, 'error:' .. token, string.format('{"time":%d,"began":%d,', now, began) .. err:sub(2))
  trim(key, 'error:', 8)
  if traceback == '' then return end
  redis.call('HSET', key, 'traceback:' .. token, traceback)
  trim(key, 'traceback:', 3)
end
