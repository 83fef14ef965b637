#!lua
-- push: (nothing) -> active | scheduled. An id that exists is left as it is; where another job
-- stands for the same unique key, the id leads to that one.
-- KEYS: <root> <root>:queue
-- ARGV: for how many ms ids are known after their jobs have ended ("": not at all), then per job: id, due ("" now, "+ms" from now, "ms" by the server's clock), expires ("" never,
--       or as due), priority, unique ("", see _push), number of fields and values, fields and
--       values of its hash, handler and payload first
-- Returns: {1 if this was the queue's first push, then per job 1 pushed | 0 existed | 2 another stands}
local root, now, keep, i = KEYS[1], now_ms(), ARGV[1], 2
local answers = {redis.call('SETNX', KEYS[2], 0)}
while i < #ARGV do
  local id, due, size = ARGV[i], moment(ARGV[i + 1], now), tonumber(ARGV[i + 5])
  local unique, other, state, answer = read_unique(ARGV[i + 4]), nil, nil, 0
  if unique then other, state = stands(root, unique.key) end
  if not known(root, id, keep) then
    if other then
      answer = join(root, id, other, state, unique.replace, ARGV[i + 9], due, now)
    else
      local expires, fields = moment(ARGV[i + 2], now), {unpack(ARGV, i + 6, i + 5 + size)}
      answer = push_new(root, id, due, expires, tonumber(ARGV[i + 3]), unique, fields, now)
    end
    remember(root, id, keep)
  end
  answers[#answers + 1] = answer
  i = i + 6 + size
end
return answers
