-- Prelude of push: a unique key.

-- Another job stands for this one: its id leads there, and its payload and due time may go there.
local function join(root, id, other, state, replace, payload, due, now)
  alias(root, id, other)
  if not replace or state == 'processing' then return 2 end
  redis.call('HSET', job_key(root, other), 'payload', payload)
  if state == 'scheduled' then
    redis.call('HSET', job_key(root, other), 'due_at', due or now, 'more', 1)
    schedule(root, other, due or now, now)
  end
  return 2
end

-- nil or "<how>:<key>", how: end | start | ms, behind a `+` to replace what stands.
local function read_unique(text)
  local replace, how, key = (text or ''):match('^(%+?)(%w+):(.*)$')
  if key then return {key = key, how = how, replace = replace == '+'} end
end
