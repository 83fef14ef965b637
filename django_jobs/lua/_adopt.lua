-- Prelude of claim: what other programs push straight into the list, in an envelope:
-- {"ID": "...", "Data": "<base64 of the payload>"}

local function decode_base64(text)
  local digits, value = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', {}
  for i = 1, 64 do value[digits:sub(i, i)] = i - 1 end
  local bytes = text:gsub('=', 'A'):gsub('(.)(.)(.)(.)', function(a, b, c, d)
    return struct.pack('>I3', value[a] * 2 ^ 18 + value[b] * 2 ^ 12 + value[c] * 64 + value[d])
  end)
  return bytes:sub(1, #bytes - #text:match('=*$'))
end

-- Its id, and its payload in base64; nil if it is no envelope, or of more than 1 MiB.
local function open_envelope(bytes)
  local is_json, found = pcall(cjson.decode, #bytes <= 2 ^ 20 and bytes:match('^%s*{.*') or '')
  local id, data = is_json and found.ID, is_json and found.Data
  if type(id) ~= 'string' or #id > 64 or not id:find('^[%w_.:-]+$') then return nil end
  if type(data) ~= 'string' or #data % 4 > 0 or not data:find('^[%w+/]*=?=?$') then return nil end
  return id, data
end

-- The envelope becomes a job of the queue's HANDLER (in `meta`: its name, and max_attempts), and its
-- id takes the place at `index`. Answers as inspect does, with the id before it; what is done with is
-- `known`. A hash of attempts alone is that of a program which counted them so.
local function adopt(root, bytes, index, now)
  local id, data = open_envelope(bytes)
  local kind = id and redis.call('TYPE', job_key(root, id)).ok
  if kind ~= 'none' and kind ~= 'hash' then return bytes end
  if job_fields(root, id, 'payload', 'state') then return id, {'known'} end
  local handler, most = (redis.call('HGET', root .. ':meta', 'handler') or ''):match('^(%S+) (%d+)$')
  if handler then
    redis.call('HSET', job_key(root, id), 'handler', handler, 'payload', decode_base64(data), 'enqueued_at', now)
    if most ~= '5' then redis.call('HSET', job_key(root, id), 'max_attempts', most) end
    redis.call('LSET', root .. ':active', index, id)
    return id, inspect(root, id)
  end
  local grave = bury_garbage(root, bytes, now)
  local why = "It was pushed by another program, and JOBS['QUEUES'] names no HANDLER of this queue."
  if grave then record_error(root, grave, '0', '{"exception":"Garbage","message":"' .. why .. '","worker":""}', '', now) end
  return id, {'known'}
end
