#!lua flags=allow-oom
-- held: what a worker still holds, asked after a claim whose answer is unknown. Raises the claim
-- number first, so that a claim still under way gets nothing. Who is unregistered is entered with a
-- lease of 0: sweep looks at it twice, as at any other, and forgets its claims with it.
-- KEYS: <root> <root>:queue
-- ARGV: worker, claim number, then id and token of each job it knows to hold
-- Returns: {ok | closed | unregistered, number of known jobs, 1 stands | 0 for each of them,
--           then id and token of each job of the last claim that it did not know, or not by
--           this token: a retry and the claim that took it again were done, both answers lost}
local root, worker, number = KEYS[1], ARGV[1], tonumber(ARGV[2])
local known, answer = {}, {'ok', (#ARGV - 2) / 2}
local lease = tonumber(redis.call('ZSCORE', root .. ':workers', worker))
if not lease or lease == 0 then answer[1] = 'unregistered' end
if lease and lease < 0 then answer[1] = 'closed' end
for i = 3, #ARGV, 2 do
  known[ARGV[i]] = ARGV[i + 1]
  local owner = redis.call('HGET', root .. ':processing', ARGV[i])
  answer[#answer + 1] = standing(root, ARGV[i], ARGV[i + 1], worker, owner) == 1 and 1 or 0
end
local seen, ids = (redis.call('HGET', root .. ':claims', worker) or '0 '):match('^(%d+) (.*)$')
for id in ids:gmatch('%S+') do
  local token = redis.call('HGET', job_key(root, id), 'token') or '0'
  if known[id] ~= token and redis.call('HGET', root .. ':processing', id) == worker then
    answer[#answer + 1] = id
    answer[#answer + 1] = token
  end
end
if not lease then redis.call('ZADD', root .. ':workers', 0, worker) end
if number > tonumber(seen) then
  redis.call('HSET', root .. ':claims', worker, number .. ' ' .. ids)
end
return answer
