"""What runs a worker has settled, and how they went: counted here, written once a second."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from math import frexp

from django_jobs.job import Claimed
from django_jobs.queue import Queue
from django_jobs.scripts import Call

EVERY = 1.0  # seconds between two writes
MICRO = 20  # binary digits of a second's µs
RAN = ("succeeded", "kept", "retry", "failed")  # kinds of outcome that a run produced

Run = tuple[str, bool, int, int]  # handler, failed, size of its duration, size of its wait or -1


class Metrics:
    """Counts runs by handler.

    Durations (in 2**-20 s, about µs) and waits (ms, of first attempts) are kept as their
    number of binary digits: a histogram whose classes are powers of two.
    """

    def __init__(self) -> None:
        self._runs: dict[str, Counter[Run]] = {}
        self._due = 0.0

    def add(self, queue: str, kind: str, jobs: Sequence[Claimed]) -> None:
        """Count runs of one queue whose outcome was recorded."""
        if kind not in RAN:
            return
        failed = kind in ("retry", "failed")
        self._runs.setdefault(queue, Counter()).update(
            [
                (
                    job.handler,
                    failed,
                    frexp(job.took or 2**-MICRO)[1] + MICRO,  # one that never began took none
                    job.waited_ms.bit_length() if job.attempt == 1 else -1,
                )
                for job in jobs
            ]
        )

    def calls(self, queues: Mapping[str, Queue], *, last: bool = False) -> list[Call]:
        """Return what to write, if it is time for it, or the `last` time."""
        now = time.monotonic()
        if not self._runs or (now < self._due and not last):
            return []
        self._due = now + EVERY
        names = [name for name in self._runs if name in queues]
        return [queues[name].count(_numbers(self._runs.pop(name))) for name in names]


def _numbers(runs: Counter[Run]) -> Counter[str]:
    """Return the fields that are added to; those with a handler's name in front are its own."""
    numbers: Counter[str] = Counter()
    for (handler, failed, took, wait), count in runs.items():
        fields = ["runs", f"{handler} runs", f"{handler} took:{took}"]
        if failed:
            fields += ["failures", f"{handler} failures"]
        if wait >= 0:
            fields.append(f"{handler} wait:{wait}")
        for field in fields:
            numbers[field] += count
    return numbers
