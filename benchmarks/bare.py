"""Bare redis-py loops, what the figures are held against: one job at a time, no worker."""

import json
from typing import Any

# Ends the last job and claims the next: what a worker without batches does at the least.
END_AND_CLAIM = """
if ARGV[1] ~= '' then
  redis.call('LREM', KEYS[2], 1, ARGV[1])
  redis.call('DEL', KEYS[3] .. ARGV[1])
end
local id = redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'LEFT')
return id and {id, redis.call('HGET', KEYS[3] .. id, 'payload')}
"""
ACTIVE, PROCESSING, JOB = "bare:active", "bare:processing", "bare:job:"


def fill(redis: Any, count: int) -> None:
    """Put jobs there."""
    with redis.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.hset(f"{JOB}{number}", "payload", json.dumps({"n": number}))
            pipeline.lpush(ACTIVE, number)
        pipeline.execute()


def drain_by_script(redis: Any, ledger: Any) -> None:
    """One EVALSHA a job."""
    sha, last = redis.script_load(END_AND_CLAIM), b""
    while found := redis.evalsha(sha, 3, ACTIVE, PROCESSING, JOB, last):
        last, payload = found
        ledger.mark(json.loads(payload)["n"])


def drain_by_commands(redis: Any, ledger: Any) -> None:
    """LMOVE, HGET, LREM, DEL: the small reliable queue of the textbooks."""
    while (id := redis.lmove(ACTIVE, PROCESSING, "RIGHT", "LEFT")) is not None:
        key = JOB + id.decode()
        ledger.mark(json.loads(redis.hget(key, "payload"))["n"])
        redis.lrem(PROCESSING, 1, id)
        redis.delete(key)
