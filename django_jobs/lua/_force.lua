-- Prelude of configure and limit: which limits are in force.

-- An operator's go before those of the settings.
local function put_in_force(root)
  local said = redis.call('HMGET', root .. ':meta', 'operator_limits', 'settings_limits')
  local limits = said[1] or said[2] or ''
  if limits == '' then
    redis.call('HDEL', root .. ':meta', 'limits', 'paid_until')
  else
    redis.call('HSET', root .. ':meta', 'limits', limits)
  end
  if claimable(root) then hint(root) end
end
