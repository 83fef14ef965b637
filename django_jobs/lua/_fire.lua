-- Prelude of the scripts that push the jobs of schedules.
local OF_A_JOB = {'handler', 'payload', 'max_attempts', 'timeout', 'result_ttl', 'priority', 'more'}
local RECENT = 20

-- A schedule keeps what became of its last occurrences, the newest first, one in a line.
local function remember(key, entry)
  local entries = {entry}
  for old in (redis.call('HGET', key, 'recent') or ''):gmatch('[^\n]+') do
    if #entries < RECENT then entries[#entries + 1] = old end
  end
  redis.call('HSET', key, 'recent', table.concat(entries, '\n'))
end

-- Pushes the job of an occurrence, unless another one stands for its unique key; no id, no job.
local function push_occurrence(root, name, id, at, now)
  local key = schedule_key(root, name)
  if id == '' then return remember(key, at .. ' missed') end
  local found, fields = redis.call('HMGET', key, unpack(OF_A_JOB)), {}
  for i, field in ipairs(OF_A_JOB) do
    if found[i] then fields[#fields + 1], fields[#fields + 2] = field, found[i] end
  end
  for _, value in ipairs({'schedule', name, 'occurrence', at}) do fields[#fields + 1] = value end
  local options = redis.call('HMGET', key, 'unique', 'expires', 'priority')
  local unique = read_unique(options[1] or '')
  local other = unique and stands(root, unique.key)
  if other then
    alias(root, id, other)
    return remember(key, at .. ' skipped ' .. other)
  end
  push_new(root, id, nil, moment(options[2] or '', now), tonumber(options[3]) or 0, unique, fields, now)
  remember(key, at .. ' pushed ' .. id)
end
