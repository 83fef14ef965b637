#!lua flags=allow-oom
-- define: makes a queue's schedules what a supervisor's code says, but for those that one which
-- started later has defined. What else the same project has defined here before goes.
-- KEYS: <root> <root>:queue
-- ARGV: project, when the supervisor started (ms), then per schedule: name, first due, number of
--       fields and values, fields and values
-- Returns: 1 if this was the first that was heard of the queue
local root, project, since, now = KEYS[1], ARGV[1], ARGV[2], now_ms()
local names, listed, i = redis.call('ZRANGE', root .. ':schedules', 0, -1), {}, 3
local new = redis.call('SETNX', KEYS[2], 0)
while i < #ARGV do
  local name, size = ARGV[i], tonumber(ARGV[i + 2])
  listed[name] = true
  if may_define(root, name, since, now) then
    define(root, name, ARGV[i + 1], {'project', project, 'since', since, unpack(ARGV, i + 3, i + 2 + size)})
  end
  i = i + 3 + size
end
for _, name in ipairs(names) do
  local owner = redis.pcall('HGET', schedule_key(root, name), 'project')
  if not listed[name] and owner == project and may_define(root, name, since, now) then forget_schedule(root, name) end
end
note_first(root, now)
return new
