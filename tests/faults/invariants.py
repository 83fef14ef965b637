"""What must be true of a queue at every moment, and what is not."""

from collections.abc import Iterator
from typing import Any

from django_jobs.queue import Queue

# One script: what it sees is one moment.
SNAPSHOT = """
local root, jobs = KEYS[1], {}
for _, key in ipairs(redis.call('KEYS', root .. ':job:*')) do
  local fields = redis.pcall('HGETALL', key)
  if not fields.err then jobs[#jobs + 1] = {key:sub(#root + 6), fields} end
end
return {redis.call('LRANGE', root .. ':active', 0, -1), redis.call('ZRANGE', root .. ':priority', 0, -1),
  redis.call('HGETALL', root .. ':processing'), redis.call('ZRANGE', root .. ':failed', 0, -1),
  redis.call('ZRANGE', root .. ':scheduled', 0, -1), redis.call('ZRANGE', root .. ':limited', 0, -1),
  redis.call('ZRANGE', root .. ':succeeded', 0, -1),
  redis.call('ZRANGE', root .. ':workers', 0, -1, 'WITHSCORES'),
  redis.call('HGET', root .. ':counts', 'cancelled') or '0', jobs}
"""
PLACES = ("active", "active", "processing", "failed", "scheduled", "active", "succeeded")


def broken(queue: Queue) -> list[str]:
    """Say which of the invariants do not hold (none, then it is empty)."""
    reply: Any = queue.client.eval(SNAPSHOT, 1, queue.root)  # type: ignore[no-untyped-call]
    *places, workers, cancelled, jobs = reply
    owners = _pairs(places[2])
    places[2] = list(owners)
    leases = {worker: float(score) for worker, score in _pairs(workers).items()}
    hashes = {id: _pairs(fields) for id, fields in jobs}
    where: dict[bytes, list[str]] = {}
    for place, ids in zip(PLACES, places, strict=True):
        for id in ids:
            where.setdefault(id, []).append(place)
    return [
        *_misplaced(hashes, where),
        *(
            f"{id!r} is held by the unregistered {w!r}"
            for id, w in owners.items()
            if w not in leases
        ),
        *_miscounted(hashes, places[0], int(cancelled)),
    ]


def _misplaced(hashes: dict[bytes, Any], where: dict[bytes, list[str]]) -> Iterator[str]:
    """A job is in exactly one place, which its state names (I1), within its attempts (I4)."""
    for id, job in hashes.items():
        state = job.get(b"state", b"active").decode()
        place = [state] * (state != "cancelled") + ["active"] * _stopped(job)
        if sorted(where.get(id, [])) != sorted(place):
            yield f"{id!r} is {state} and in {where.get(id, [])}"
        if int(job.get(b"attempts", 0)) > int(job.get(b"max_attempts", 5)):
            yield f"{id!r} had {job[b'attempts']!r} attempts"
    for id, places in where.items():
        if id not in hashes and set(places) - {"active", "failed"}:
            yield f"{id!r} has no hash and is in {places}"


def _miscounted(hashes: dict[bytes, Any], active: list[bytes], cancelled: int) -> Iterator[str]:
    """What is subtracted from the list's length is what was stopped there."""
    gone = [id for id in active if _stopped(hashes.get(id, {}))]
    if len(gone) != cancelled:
        yield f"{len(gone)} ids of stopped jobs are in the list, {cancelled} are counted"


def _stopped(job: dict[bytes, bytes]) -> bool:
    """Say whether a job was cancelled or failed while its id stood in the list."""
    return job.get(b"state") == b"cancelled" or b"listed" in job


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
