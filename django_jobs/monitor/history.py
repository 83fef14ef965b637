"""What workers counted: runs and failures by the minute for an hour, by the hour for a week, and ever."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django_jobs.monitor.counts import server_time
from django_jobs.monitor.reading import ask, by_client, number, text
from django_jobs.queue import Queue

HISTOGRAM = re.compile(r"(took|wait):(\d\d?)\Z", re.ASCII)
SPANS = {"minute": 60_000, "hour": 3_600_000}  # ms


@dataclass(slots=True)
class HandlerStats:
    """The runs of one handler; histograms by the number of binary digits of 2**-20 s and ms."""

    handler: str
    runs: int = 0
    failures: int = 0
    failed: int = 0  # failures that were the last
    spent: int = 0  # 2**-20 s
    took: Counter[int] = field(default_factory=Counter)  # 2**-20 s
    waited: Counter[int] = field(default_factory=Counter)  # ms

    def took_at(self, share: float) -> float:
        """Return below how many seconds the runs of a share took, 0.95 of them say."""
        return quantile(self.took, share) / 2**20

    def waited_at(self, share: float) -> float:
        """Return below how many seconds a share of the first attempts waited."""
        return quantile(self.waited, share) / 1000

    @property
    def total(self) -> float:
        """Return how many seconds all runs took."""
        return self.spent / 2**20


class Timeline:
    """Runs and failures of queues, minute by minute; what is long over is read from Redis once."""

    def __init__(self) -> None:
        self._over: dict[tuple[str, int], tuple[int, int]] = {}

    def minutes(self, queue: Queue, count: int = 60) -> list[tuple[int, int]]:
        """Return (runs, failures) of the last minutes, the current one last. Raises RedisError."""
        this = int(server_time(queue) // SPANS["minute"])
        wanted = range(this - count + 1, this + 1)
        for key in list(self._over):  # a copy: other threads look, too
            if key[0] == queue.root and key[1] < wanted[0]:
                self._over.pop(key, None)
        missing = [minute for minute in wanted if (queue.root, minute) not in self._over]
        commands = [("HMGET", f"{queue.root}:minute:{n}", "runs", "failures") for n in missing]
        found = {
            minute: (number(reply[0]), number(reply[1])) if reply else (0, 0)
            for minute, reply in zip(missing, ask(queue, commands), strict=True)
        }
        self._over |= {(queue.root, n): pair for n, pair in found.items() if n < this - 1}
        return [found.get(n) or self._over.get((queue.root, n), (0, 0)) for n in wanted]


def by_handler(queues: Iterable[Queue], hours: float) -> list[HandlerStats]:
    """Return what ran in the last hours, by handler, most time first. Raises RedisError.

    Up to an hour it is counted by minutes, else by whole hours (a week at most).
    """
    kind = "minute" if hours <= 1 else "hour"
    count = max(1, round(hours * SPANS["hour"] / SPANS[kind]))
    found: dict[str, HandlerStats] = {}
    for queue in queues:
        this = int(server_time(queue) // SPANS[kind])
        keys = [f"{queue.root}:{kind}:{n}" for n in range(this - count + 1, this + 1)]
        for fields in ask(queue, [("HGETALL", key) for key in keys]):
            for name, value in (fields or {}).items():
                _add(found, text(name), number(value))
    return sorted(found.values(), key=lambda stats: (-stats.total, stats.handler))


def ever(queues: Iterable[Queue]) -> dict[str, list[HandlerStats]]:
    """Return all that ever ran, by queue and handler. Raises RedisError."""
    found = {}
    for group in by_client(queues):
        replies = ask(group[0], [("HGETALL", f"{queue.root}:total") for queue in group])
        for queue, fields in zip(group, replies, strict=True):
            stats: dict[str, HandlerStats] = {}
            for name, value in (fields or {}).items():
                _add(stats, text(name), number(value))
            found[queue.name] = list(stats.values())
    return found


def quantile(histogram: Counter[int], share: float) -> float:
    """Return the value below which a share lies, by straight lines within the classes."""
    left = share * histogram.total()
    for digits in sorted(histogram):
        count = histogram[digits]
        if left <= count:
            low = 2.0 ** (digits - 1) if digits else 0.0
            return low + (2.0**digits - low) * left / count
        left -= count
    return 0.0


def totals(minutes: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the sums of several timelines."""
    return [
        (sum(runs for runs, _ in column), sum(failures for _, failures in column))
        for column in zip(*minutes, strict=True)
    ]


def _add(found: dict[str, HandlerStats], field: str, count: int) -> None:
    handler, space, what = field.rpartition(" ")
    if not space:
        return
    stats = found.setdefault(handler, HandlerStats(handler))
    if what == "runs":
        stats.runs += count
    elif what == "failures":
        stats.failures += count
    elif what == "failed":
        stats.failed += count
    elif what == "took":
        stats.spent += count
    elif bucket := HISTOGRAM.match(what):
        (stats.took if bucket[1] == "took" else stats.waited)[int(bucket[2])] += count
