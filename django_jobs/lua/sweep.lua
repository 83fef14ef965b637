#!lua flags=allow-oom
-- sweep: finds dead workers and a bounded number of the jobs they hold; recover takes them back.
-- Names what the asking worker holds, too: after a fail-over it may know nothing of some.
-- KEYS: <root> <root>:queue of each queue
-- ARGV: worker, grace ms between two looks at an expired lease, then per queue: cursor into
--       its processing, its failed ttl in ms or ""
-- Returns: per queue {next cursor, 1 if a worker was found dead now,
--          id, token, worker of each job to recover, and of each of the asking worker's}
local now, grace, answers = now_ms(), tonumber(ARGV[2]), {}
for i = 1, #KEYS, 2 do
  local root, owners, is_sound = KEYS[i], {}, sound(KEYS[i])
  local held, answer = {'0', {}}, {'0', 0}
  if is_sound then
    local found = suspect(root, now, grace)
    held = redis.call('HSCAN', root .. ':processing', ARGV[i + 2], 'COUNT', 200)
    answer = {held[1], found and 1 or 0}
  end
  for k = 1, #held[2], 2 do
    local id, worker = held[2][k], held[2][k + 1]
    owners[worker] = true
    if worker == ARGV[1] or dead(root, worker, now, grace) then
      local job = job_fields(root, id, 'token') or {}
      for _, value in ipairs({id, job[1] or '0', worker}) do answer[#answer + 1] = value end
    end
  end
  if is_sound then
    free_keys(root)
    forget(root, now, tonumber(ARGV[i + 3]), owners)
  end
  answers[#answers + 1] = answer
end
return answers
