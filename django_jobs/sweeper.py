"""A worker's share of looking for dead workers, and taking their jobs back."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from django_jobs.claims import BEATS_PER_LEASE, Orphan, orphans, sweep_call
from django_jobs.exceptions import WorkerLost
from django_jobs.failure import Failure
from django_jobs.queue import Queue
from django_jobs.scripts import Call
from django_jobs.settling import tell_recovered

Apply = Callable[[Any], None]
Mine = Callable[[Queue, str, list[tuple[str, str]]], None]  # queue, worker, its ids and tokens


class Sweeper:
    """Looks every beat, a bounded number of jobs at a time; on at once when one is dead."""

    def __init__(self, lease: float, failed_ttl: Callable[[str], float | None], mine: Mine) -> None:
        self.due = time.monotonic()
        self._beat = lease / BEATS_PER_LEASE
        self._failed_ttl = failed_ttl
        self._mine = mine
        self._cursors: dict[str, bytes] = {}
        self._orphans: list[tuple[Queue, list[Orphan]]] = []

    def __bool__(self) -> bool:
        """Say whether jobs of dead workers are to be taken back."""
        return bool(self._orphans)

    def calls(
        self, queues: Sequence[Queue], worker: str, *, look: bool
    ) -> list[tuple[Call, Apply]]:
        """Return what to send now: taking back what was found, and the next look if due."""
        calls: list[tuple[Call, Apply]] = []
        for queue, found in self._orphans:
            why = Failure.of(WorkerLost("Its worker's lease ran out."), _text(found[0][2]))
            calls.append((queue.recover(found, why), _Recovered(queue, found)))
        self._orphans = []
        now = time.monotonic()
        if look and now >= self.due:
            self.due = now + self._beat * random.uniform(0.8, 1.0)
            cursors = [self._cursors.get(queue.name, b"0") for queue in queues]
            ttls = [self._failed_ttl(queue.name) for queue in queues]
            call = sweep_call(queues, worker, 2 * self._beat, cursors, ttls)
            calls.append((call, lambda reply: self._found(reply, queues, worker.encode())))
        return calls

    def _found(self, reply: list[Any], queues: Sequence[Queue], worker: bytes) -> None:
        for queue, (cursor, dead, *flat) in zip(queues, reply, strict=True):
            self._cursors[queue.name] = cursor
            found = orphans(flat)
            lost = [orphan for orphan in found if orphan[2] != worker]
            for owner in {orphan[2] for orphan in lost}:
                self._orphans.append((queue, [orphan for orphan in lost if orphan[2] == owner]))
            if dead or (lost and cursor != b"0"):
                self.due = 0.0
            self._mine(
                queue,
                worker.decode(),
                [(_text(id), _text(token)) for id, token, owner in found if owner == worker],
            )


class _Recovered:
    def __init__(self, queue: Queue, jobs: list[Orphan]) -> None:
        self._queue = queue
        self._jobs = jobs

    def __call__(self, reply: Any) -> None:
        jobs = [(_text(id), _text(worker)) for id, _, worker in self._jobs]
        tell_recovered(self._queue.name, jobs, [state.decode() for state in reply])


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
