#!lua flags=allow-oom
-- define: makes a queue's schedules what a supervisor's code says, but for those that one which
-- began later has defined. What else the same project has defined here before goes.
-- KEYS: <root> <root>:queue
-- ARGV: project, for how many ms the supervisor has been running, then per schedule: name, number
--       of fields and values, fields and values
-- Returns: 1 | 0 `schedules` is of a wrong type
local root, project, now, listed, i = KEYS[1], ARGV[1], now_ms(), {}, 3
local since, names = now - ARGV[2], redis.pcall('ZRANGE', root .. ':schedules', 0, -1)
if names.err then return 0 end
while i < #ARGV do
  local name, size = ARGV[i], tonumber(ARGV[i + 1])
  listed[name] = true
  if may_define(root, name, since, now) then
    define(root, name, {'project', project, 'since', since, unpack(ARGV, i + 2, i + 1 + size)}, now)
  end
  i = i + 2 + size
end
for _, name in ipairs(names) do
  local owner = redis.pcall('HGET', schedule_key(root, name), 'project')
  if not listed[name] and owner == project and may_define(root, name, since, now) then set_due(root, name, nil, now) end
end
return 1
