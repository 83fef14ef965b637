#!lua flags=no-writes
-- schedules: how a queue's schedules stand.
-- KEYS: <root> <root>:queue
-- ARGV: the name of one, or none for all
-- Returns: {now ms, then per schedule: name, due next, fields and values}
local root, answer = KEYS[1], {now_ms()}
for _, name in ipairs(ARGV[1] and {ARGV[1]} or redis.call('ZRANGE', root .. ':schedules', 0, -1)) do
  local due = redis.call('ZSCORE', root .. ':schedules', name)
  local fields = redis.pcall('HGETALL', schedule_key(root, name))
  if due and not fields.err then
    for _, value in ipairs({name, due, fields}) do answer[#answer + 1] = value end
  end
end
return answer
