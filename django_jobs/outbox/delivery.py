"""From the outbox to Redis: once per id, however often and by however many it is tried."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from weakref import WeakKeyDictionary

from redis.exceptions import RedisError, ResponseError

from django_jobs.exceptions import PushError
from django_jobs.monitor.reading import by_client
from django_jobs.options import NewJob
from django_jobs.push import tell_pushed
from django_jobs.queue import Queue, run_in_rounds
from django_jobs.scanning import chunks
from django_jobs.scripts import Call

Jobs = Mapping[Queue, Sequence[NewJob]]

# A tombstone must last as long as the row, and then as long as somebody who has seen the row
# may still push it: who was frozen, or in its transaction, for too long leaves it to others.
WHILE_A_ROW = 7 * 86_400_000  # ms; the rest of a push that nobody relayed for so long
AFTERWARDS = 600_000  # ms
LATE = 300.0  # seconds after which it is not pushed by who has seen the row
DURABLE = 5.0  # seconds after which a deletion is on disk; PostgreSQL's is not at once
PAGE = 1000

_deleted: WeakKeyDictionary[Queue, deque[tuple[float, list[str]]]] = WeakKeyDictionary()


def push_once(jobs: Jobs, seen_at: float) -> dict[Queue, PushError]:
    """Push jobs, in one round trip for each Redis; return why, for queues that took none.

    `seen_at` (time.time) is when it was certain that nobody else had deleted their rows.
    """
    failed: dict[Queue, PushError] = {}
    for group in by_client(jobs):
        failed |= _push({queue: jobs[queue] for queue in group}, seen_at)
    return failed


def forget_soon(jobs: Jobs) -> None:
    """Let the tombstones of jobs whose rows are deleted end, on the way of a later push."""
    for queue, pushed in jobs.items():
        ids = [job.id for job in pushed]
        _deleted.setdefault(queue, deque()).append((time.monotonic(), ids))


def _push(jobs: Jobs, seen_at: float) -> dict[Queue, PushError]:
    if time.time() - seen_at > LATE:
        return _failed(jobs, TimeoutError(f"It was pushed more than {LATE:g} s ago."))
    try:
        _send(jobs)
    except ResponseError as error:
        if len(jobs) == 1:
            return _failed(jobs, error)
        failed: dict[Queue, PushError] = {}  # one spoiled queue harms no other
        for queue, own in jobs.items():
            failed |= _push({queue: own}, seen_at)
        return failed
    except (RedisError, OSError) as error:
        return _failed(jobs, error)
    return {}


def _failed(jobs: Jobs, error: Exception) -> dict[Queue, PushError]:
    found = {queue: queue.push_error(own, error) for queue, own in jobs.items()}
    for wrong in found.values():
        wrong.__cause__ = error
    return found


def _send(jobs: Jobs) -> None:
    for queue in jobs:
        queue.announce()
    pushes = {
        queue: queue.push_calls([replace(job, tombstone=WHILE_A_ROW) for job in own])
        for queue, own in jobs.items()
    }
    calls = [call for own in pushes.values() for call in own]
    calls += [call for queue in jobs for call in _forgetting(queue)]
    replies = iter(run_in_rounds(next(iter(jobs)).client, calls))
    for queue, own in pushes.items():
        answers = queue.pushed(list(islice(replies, len(own))))
        tell_pushed(queue, jobs[queue], answers)


def _forgetting(queue: Queue) -> Iterator[Call]:
    waiting, now = _deleted.get(queue, deque()), time.monotonic()
    ids: list[str] = []
    while waiting and waiting[0][0] < now - DURABLE:
        ids += waiting.popleft()[1]
    for page in chunks(ids, PAGE):
        yield queue.forget(page, AFTERWARDS)
