#!lua flags=allow-oom
-- retry: failed -> active | scheduled, by an operator.
-- KEYS: <root> <root>:queue
-- ARGV: id, delay ms
-- Returns: 1 moved | 0 it is not failed | the id of the job that stands for its unique key
return revive(KEYS[1], ARGV[1], tonumber(ARGV[2]), now_ms())
