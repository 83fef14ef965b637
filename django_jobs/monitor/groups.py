"""Failure groups: failed jobs by handler and exception class, counted without looking at them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from django_jobs.monitor.reading import ask, number, text
from django_jobs.queue import Queue

HOUR = 3_600_000  # ms


@dataclass(frozen=True, slots=True)
class Group:
    """The failed jobs of one queue with one handler and one exception class.

    Garbage is of no handler and of class `Garbage`; what came when there were 1,000 groups
    is of no handler and of class `other`.
    """

    queue: Queue
    name: bytes
    count: int

    @property
    def key(self) -> bytes:
        """Return the key of its sorted set."""
        return f"{self.queue.root}:group:".encode() + self.name

    @property
    def handler(self) -> str:
        """Return the handler's name."""
        return text(self.name).rpartition(" ")[0]

    @property
    def exception(self) -> str:
        """Return the path of the exception's class."""
        return "Garbage" if self.name == b"?" else text(self.name).rpartition(" ")[2]


def failure_groups(
    queues: Iterable[Queue], *, handler: str = "", exception: str = ""
) -> list[Group]:
    """Return the groups of these queues, the largest first. Raises RedisError."""
    found = [
        Group(queue, name, number(count))
        for queue in queues
        for name, count in _index(queue).items()
        if number(count)
    ]
    chosen = [
        group
        for group in found
        if handler in ("", group.handler) and exception in ("", group.exception)
    ]
    return sorted(chosen, key=lambda group: (-group.count, group.name))


def counted(groups: Sequence[Group], since: float) -> list[Group]:
    """Return the groups with how many of their jobs failed since (ms), those with none left out."""
    found: list[Group] = []
    for queue in {group.queue.name: group.queue for group in groups}.values():
        mine = [group for group in groups if group.queue is queue]
        counts = ask(queue, [("ZCOUNT", group.key, repr(since), "+inf") for group in mine])
        found += [replace(group, count=n) for group, n in zip(mine, counts, strict=True) if n]
    return sorted(found, key=lambda group: (-group.count, group.name))


def failures_by_hour(groups: Sequence[Group], now: float, hours: int = 24) -> list[list[int]]:
    """Return how many of each group's jobs failed in each of the last hours; `now` in ms."""
    edges = [now - hour * HOUR for hour in range(hours, -1, -1)]
    spans = [(f"({low!r}", f"{high!r}") for low, high in pairwise(edges)]
    return [
        [
            count or 0
            for count in ask(group.queue, [("ZCOUNT", group.key, low, high) for low, high in spans])
        ]
        for group in groups
    ]


def latest(groups: Sequence[Group]) -> list[float]:
    """Return when each group's newest job failed (ms)."""
    found = []
    for group in groups:
        (newest,) = ask(group.queue, [("ZREVRANGE", group.key, 0, 0, "WITHSCORES")])
        found.append(float(newest[1]) if newest else 0.0)
    return found


def _index(queue: Queue) -> dict[bytes, bytes]:
    (found,) = ask(queue, [("HGETALL", f"{queue.root}:groups")])
    return dict(found or {})
