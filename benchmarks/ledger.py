"""What ran, in memory shared by all processes and outside Redis: one place per job number."""

import mmap
import os
from pathlib import Path

JOBS = 2_000_000


class Ledger:
    """Counts the runs of each job, and keeps the time of its start in ns."""

    def __init__(self, path: Path) -> None:
        size = JOBS + 8 * JOBS
        with path.open("r+b") as file:
            file.truncate(size)
            memory = memoryview(mmap.mmap(file.fileno(), size))
        self._runs = memory[:JOBS]
        self._starts = memory[JOBS:].cast("Q")

    def mark(self, number: int) -> None:
        """Count a run; only one run of a job is under way, so nothing is lost."""
        self._runs[number] += 1

    def stamp(self, number: int, at: int) -> None:
        """Count a run, and keep when it started."""
        self._starts[number] = at
        self._runs[number] += 1

    def runs(self, count: int) -> bytes:
        """Return how often each of the first `count` jobs ran."""
        return bytes(self._runs[:count])

    def starts(self, count: int) -> list[int]:
        """Return when each of the first `count` jobs started, in ns."""
        return list(self._starts[:count])

    def clear(self) -> None:
        """Forget all."""
        self._runs[:] = bytes(JOBS)


def open_ledger() -> Ledger:
    """Return the ledger that the environment names; every process sees the same one."""
    return Ledger(Path(os.environ["BENCH_LEDGER"]))
