#!lua flags=allow-oom
-- empty: active -> gone, by an operator: the jobs that would be claimed next.
-- KEYS: <root> <root>:queue
-- ARGV: how many
-- Returns: {how many were deleted, how many ids were taken out}
local root, left, deleted, now = KEYS[1], tonumber(ARGV[1]), 0, now_ms()
for _, place in ipairs(PLACES) do
  local ids = left > 0 and waiting(root, place, left) or {}
  for _, id in ipairs(ids) do
    local job = inspect(root, id)
    if job and not job[1] then
      erase(root, id)
      deleted = deleted + 1
    else
      drop(root, id, job, now)
    end
  end
  remove(root, place, ids)
  left = left - #ids
end
return {deleted, tonumber(ARGV[1]) - left}
