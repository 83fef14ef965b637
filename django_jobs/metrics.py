"""What runs a worker has settled, and how they went: counted here, written once a second."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import frexp

from django_jobs.job import Claimed
from django_jobs.queue import Queue
from django_jobs.scripts import Call

EVERY = 1.0  # seconds between two writes
MICRO = 20  # binary digits of a second's µs
RAN = ("succeeded", "kept", "retry", "failed")  # kinds of outcome that a run produced

Run = tuple[str, str, int, int]  # handler, kind, size of its duration, size of its wait or -1


class Metrics:
    """Counts runs by handler.

    Durations (in 2**-20 s, about µs) and waits (ms, of first attempts) are kept as their
    number of binary digits: a histogram whose classes are powers of two. The durations are
    summed up, too.
    """

    def __init__(self) -> None:
        self._runs: dict[str, Counter[Run]] = {}
        self._took: dict[str, defaultdict[str, float]] = {}
        self._due = 0.0

    def add(self, queue: str, kind: str, jobs: Sequence[Claimed]) -> None:
        """Count runs of one queue whose outcome was recorded."""
        if kind not in RAN:
            return
        self._runs.setdefault(queue, Counter()).update(
            [
                (
                    job.handler,
                    kind,
                    frexp(job.took or 2**-MICRO)[1] + MICRO,  # one that never began took none
                    job.waited_ms.bit_length() if job.attempt == 1 else -1,
                )
                for job in jobs
            ]
        )
        took = self._took.setdefault(queue, defaultdict(float))
        for job in jobs:
            took[job.handler] += job.took

    def calls(self, queues: Mapping[str, Queue], *, last: bool = False) -> list[Call]:
        """Return what to write, if it is time for it, or the `last` time."""
        now = time.monotonic()
        if not self._runs or (now < self._due and not last):
            return []
        self._due = now + EVERY
        names = [name for name in self._runs if name in queues]
        return [
            queues[name].count(_numbers(self._runs.pop(name), self._took.pop(name)))
            for name in names
        ]


def _numbers(runs: Counter[Run], seconds: Mapping[str, float]) -> Counter[str]:
    """Return the fields that are added to; those with a handler's name in front are its own."""
    numbers: Counter[str] = Counter()
    for (handler, kind, took, wait), count in runs.items():
        fields = ["runs", f"{handler} runs", f"{handler} took:{took}"]
        if kind in ("retry", "failed"):
            fields += ["failures", f"{handler} failures"]
        if kind == "failed":
            fields.append(f"{handler} failed")
        if wait >= 0:
            fields.append(f"{handler} wait:{wait}")
        for field in fields:
            numbers[field] += count
    for handler, spent in seconds.items():
        numbers[f"{handler} took"] = round(spent * 2**MICRO)
    return numbers
