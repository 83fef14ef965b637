#!lua
-- push: (nothing) -> active | scheduled. An id that exists is left as it is; where another job
-- stands for the same unique key, the id leads to that one.
-- KEYS: <root> <root>:queue
-- ARGV: per job: id, number of names and values, those of its options (see _push; due and expires
--       are "+ms" from now, or "ms" by the server's clock), number of fields and values, those of
--       its hash, handler and payload first
-- Returns: {1 if this was the queue's first push, then per job 1 pushed | 0 existed | 2 another stands}
local root, now, i = KEYS[1], now_ms(), 1
local answers = {redis.call('SETNX', KEYS[2], 0)}
while i < #ARGV do
  local id, options, named = ARGV[i], {}, tonumber(ARGV[i + 1])
  for k = i + 2, i + named, 2 do options[ARGV[k]] = ARGV[k + 1] end
  i = i + 2 + named
  local size = tonumber(ARGV[i])
  answers[#answers + 1] = push_once(root, id, options, {unpack(ARGV, i + 1, i + size)}, now)
  i = i + 1 + size
end
return answers
