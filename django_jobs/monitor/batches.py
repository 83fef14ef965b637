"""How far a batch is, and which are not done."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django_jobs.monitor.counts import server_time
from django_jobs.monitor.reading import ask, by_client, number, text
from django_jobs.queue import Queue
from django_jobs.record import moment

FIELDS = ("created_at", "total", "waiting", "succeeded", "failed", "cancelled")
SHOWN = 100
HOUR = 3_600_000  # ms
LOOKED_AT = 500  # batches of a queue that are older


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that belong together; `waiting` counts those that have not ended, as far as it is known."""

    id: str
    queue: str
    created_at: datetime | None
    total: int | None  # None: it is open, not all of it was pushed
    waiting: int
    succeeded: int
    failed: int
    cancelled: int

    @property
    def done(self) -> bool:
        """Say whether all of its jobs have ended."""
        return self.total is not None and self.ended >= self.total

    @property
    def ended(self) -> int:
        """Return how many of its jobs have ended."""
        return self.succeeded + self.failed + self.cancelled


def read(queue: Queue, ids: Iterable[str]) -> list[Batch]:
    """Return the batches of these ids; those that nobody knows are left out. Raises RedisError."""
    wanted = list(ids)
    replies = ask(queue, [("HMGET", f"{queue.root}:batch:{id}", *FIELDS) for id in wanted])
    found = []
    for id, values in zip(wanted, replies, strict=True):
        if values and values[0]:
            created, total, *counts = values
            at, known = moment(number(created)), None if total is None else number(total)
            found.append(Batch(id, queue.name, at, known, *map(number, counts)))
    return found


def not_done(queue: Queue, before: float | None = None) -> list[Batch]:
    """Return the first batches that are not done, the oldest first; `before` in ms."""
    until = "+inf" if before is None else repr(before)
    command = ("ZRANGEBYSCORE", f"{queue.root}:batches", "-inf", until, "LIMIT", 0, SHOWN)
    return read(queue, [text(id) for id in ask(queue, [command])[0] or []])


def left_open(queues: Iterable[Queue]) -> dict[str, list[Batch]]:
    """Return each queue's batches that have been open for an hour: their push broke off.

    Raises RedisError.
    """
    found = {}
    for group in by_client(queues):
        until = repr(server_time(group[0]) - HOUR)
        commands = [
            ("ZRANGEBYSCORE", f"{queue.root}:batches", "-inf", until, "LIMIT", 0, LOOKED_AT)
            for queue in group
        ]
        for queue, ids in zip(group, ask(group[0], commands), strict=True):
            old = read(queue, [text(id) for id in ids or []])
            found[queue.name] = [batch for batch in old if batch.total is None]
    return found
