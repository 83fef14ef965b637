#!lua flags=allow-oom
-- forget: lets tombstones of pushes end soon that are no longer needed.
-- KEYS: <root> <root>:queue
-- ARGV: in how many ms, then ids
-- Returns: 0
for i = 2, #ARGV do redis.call('PEXPIRE', tombstone(KEYS[1], ARGV[i]), ARGV[1], 'LT') end
return 0
