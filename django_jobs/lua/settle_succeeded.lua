#!lua flags=allow-oom
-- settle: processing -> succeeded: the hash is deleted.
-- KEYS: <root> <root>:queue
-- ARGV: worker, then id and token of each job
-- Returns: per job 1 applied | 0 already done | -1 another's
local root, worker, answers = KEYS[1], ARGV[1], {}
local ids, done, batches = {}, {}, {}
for i = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local owners = redis.call('HMGET', root .. ':processing', unpack(ids))
for i, id in ipairs(ids) do
  local answer, unique, batch = standing(root, id, ARGV[2 * i + 1], worker, owners[i])
  answers[i] = answer
  if answer == 1 then done[#done + 1], batches[id] = id, batch or nil end
  if answer == 1 and unique then unlock(root, id, unique) end
end
if #done > 0 then
  vacate(root, done)
  tell_ended(root, done)
  for i, id in ipairs(done) do done[i] = job_key(root, id) end
  redis.call('DEL', unpack(done))
  for id, batch in pairs(batches) do mark(root, batch, id, 'succeeded', now_ms()) end
end
return answers
