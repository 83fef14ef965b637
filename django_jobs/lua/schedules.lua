#!lua flags=no-writes
-- schedules: how a queue's schedules stand; a key of a wrong type, which `check` names, is none.
-- KEYS: <root> <root>:queue
-- ARGV: the name of one, or none for all
-- Returns: {now ms, then per schedule: name, due next, fields and values}
local root, answer = KEYS[1], {now_ms()}
local names = ARGV[1] and {ARGV[1]} or redis.pcall('ZRANGE', root .. ':schedules', 0, -1)
for _, name in ipairs(names) do
  local due = redis.pcall('ZSCORE', root .. ':schedules', name)
  local fields = redis.pcall('HGETALL', schedule_key(root, name))
  if type(due) == 'string' and not fields.err then
    for _, value in ipairs({name, due, fields}) do answer[#answer + 1] = value end
  end
end
return answer
