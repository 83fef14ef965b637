"""Redises that do not answer: each is left alone for a while, its queues with it."""

import logging
import random
import time
from collections.abc import Iterable
from typing import Protocol, TypeVar

from redis import Redis

log = logging.getLogger("django_jobs")

LONGEST_PAUSE = 5.0  # seconds between tries


class OnRedis(Protocol):
    """What a queue must say of itself here."""

    @property
    def client(self) -> Redis:
        """Where it is."""


Q = TypeVar("Q", bound=OnRedis)


class Away:
    """Knows which Redises failed last, how often, and when to try again."""

    def __init__(self) -> None:
        self._failures: dict[Redis, int] = {}
        self._until: dict[Redis, float] = {}

    def __bool__(self) -> bool:
        """Say whether any is away."""
        return bool(self._until)

    def note(self, client: Redis, error: Exception) -> None:
        """Leave one alone, for longer each time."""
        if client not in self._failures:
            log.warning("Redis does not answer, waiting for it: %s", error)
        failures = self._failures[client] = self._failures.get(client, 0) + 1
        pause = min(LONGEST_PAUSE, 0.05 * 2 ** min(failures, 10))
        self._until[client] = time.monotonic() + pause * random.uniform(0.5, 1.0)

    def answered(self, clients: Iterable[Redis]) -> None:
        """Learn that these answer."""
        for client in set(clients) & set(self._until):
            log.warning("Redis answers again.")
            del self._failures[client], self._until[client]

    def present(self, queues: Iterable[Q]) -> list[Q]:
        """Return those of the queues that may be asked now."""
        now = time.monotonic()
        return [queue for queue in queues if self._until.get(queue.client, 0.0) <= now]

    def next_try(self) -> float:
        """Return when the next of them is tried again (monotonic)."""
        return min(self._until.values(), default=float("inf"))
