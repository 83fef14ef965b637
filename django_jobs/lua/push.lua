#!lua
-- push: (nothing) -> active | scheduled. An id that exists is left as it is.
-- KEYS: <root> <root>:queue
-- ARGV: per job: id, due ("" now, "+ms" from now, "ms" by the server's clock), expires ("" never,
--       or as due), priority, number of fields and values, fields and values of its hash
-- Returns: {1 if this was the queue's first push, then per job 1 pushed | 0 existed}
local root, now, i = KEYS[1], now_ms(), 1
local answers, fresh = {redis.call('SETNX', KEYS[2], 0)}, {}
while i < #ARGV do
  local id, size = ARGV[i], tonumber(ARGV[i + 4])
  local new = not fresh[id] and redis.call('EXISTS', job_key(root, id)) == 0
  answers[#answers + 1] = new and 1 or 0
  if new then
    fresh[id] = true
    local due, expires = moment(ARGV[i + 1], now), moment(ARGV[i + 2], now)
    if due and due > now then
      schedule(root, id, due, now)
      redis.call('HSET', job_key(root, id), 'state', 'scheduled', 'due_at', due)
    else
      place_last(root, id, tonumber(ARGV[i + 3]))
      hint(root)
    end
    redis.call('HSET', job_key(root, id), 'enqueued_at', now, unpack(ARGV, i + 5, i + 4 + size))
    if expires then redis.call('HSET', job_key(root, id), 'expires_at', expires) end
  end
  i = i + 5 + size
end
return answers
