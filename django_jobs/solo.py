"""A worker without a supervisor: one `pull`, or one `run_jobs()`. It claims one job at a time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from redis import Redis
from redis.exceptions import RedisError

from django_jobs.beats import heart
from django_jobs.claims import (
    BEATS_PER_LEASE,
    Rooted,
    beat_call,
    claim_call,
    new_worker,
    pairs,
    read_claim,
)
from django_jobs.job import Claimed
from django_jobs.line import Line, checked, run, run_many
from django_jobs.scripts import Call


class Served(Rooted, Protocol):
    """What a queue must say of itself, and do, here."""

    def close(self, worker: str, *, answered: bool = False) -> Call:
        """End a worker's life."""

    def release(self, worker: str, jobs: Iterable[tuple[str, int]]) -> Call:
        """Give jobs back."""


class Solo:
    """Claims from queues of one Redis under an id of its own; `lease` is in seconds."""

    def __init__(self, client: Redis, queues: Sequence[Served], lease: float) -> None:
        self.id = new_worker()
        self._client = client
        self._queues = queues
        self._lease = lease
        self._number = 0

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Keep the lease, by a thread, as long as the block runs."""
        beat = beat_call(self._queues, self._lease, [self.id])
        number = heart.add(self._lease / BEATS_PER_LEASE, lambda: run(self._client, beat))
        try:
            yield
        finally:
            heart.remove(number)

    def claim(self) -> Claimed | None:
        """Register and claim one job; None if there is none.

        Raises RedisError; then what may have been taken is given back, if Redis answers.
        """
        line = Line(self._client)
        try:
            while True:
                self._number += 1
                calls = [
                    beat_call(self._queues, self._lease, [self.id]),
                    claim_call(self._queues, self.id, self._number, self._lease, slots=1),
                ]
                answer = read_claim(checked(line.run(calls))[1], self._queues)
                if answer.jobs or not answer.left:  # else it met only ids of cancelled jobs
                    break
        except (RedisError, OSError):
            line.close()
            self._abandon()
            raise
        line.release()
        for claimed in answer.jobs:
            claimed.worker = self.id
        return answer.jobs[0] if answer.jobs else None

    def close(self, *settles: Call) -> list[Any]:
        """Settle, and end this worker's life, in one round trip; return the answers."""
        closes = [queue.close(self.id, answered=True) for queue in self._queues]
        answers = run_many(self._client, [*settles, *closes])
        if any(answers[len(settles) :]):  # a settle's script was not known: it came after the close
            run_many(self._client, closes)
        return answers[: len(settles)]

    def _abandon(self) -> None:
        """Close although a claim may have been done, and give back what it took."""
        for queue in self._queues:
            if held := run(self._client, queue.close(self.id)):
                run(self._client, queue.release(self.id, pairs(held)))
