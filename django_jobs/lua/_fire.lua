-- Prelude of the scripts that push the jobs of schedules.
local OPTIONS = {'expires', 'unique', 'priority', 'limit_key', 'limit'}
local OF_A_JOB = {'handler', 'payload', 'max_attempts', 'timeout', 'result_ttl', 'priority', 'limit_key', 'limit', 'more'}
local RECENT = 20

-- A schedule keeps what became of its last occurrences, the newest first, one in a line.
local function remember(key, entry)
  local entries = {entry}
  for old in (redis.call('HGET', key, 'recent') or ''):gmatch('[^\n]+') do
    if #entries < RECENT then entries[#entries + 1] = old end
  end
  redis.call('HSET', key, 'recent', table.concat(entries, '\n'))
end

-- Pushes the job of an occurrence, as push does.
local function push_occurrence(root, name, id, at, now)
  local key, options, fields = schedule_key(root, name), {}, {}
  local found = redis.call('HMGET', key, unpack(OF_A_JOB))
  for i, field in ipairs(OF_A_JOB) do
    if found[i] then fields[#fields + 1], fields[#fields + 2] = field, found[i] end
  end
  for _, value in ipairs({'schedule', name, 'occurrence', at}) do fields[#fields + 1] = value end
  redis.call('SETNX', root .. ':queue', 0)
  found = redis.call('HMGET', key, unpack(OPTIONS))
  for i, option in ipairs(OPTIONS) do options[option] = found[i] or nil end
  local answer = push_one(root, id, options, fields, now)
  if answer == 1 then remember(key, at .. ' pushed ' .. id) end
  if answer == 2 then remember(key, at .. ' skipped ' .. real_id(root, id)) end
end
