"""`runjobs` as real processes, and the ledger: what their handlers did, outside Redis."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """One line of the ledger."""

    what: str  # began | ran
    id: str
    attempt: int
    pid: int
    at: float  # monotonic, the same clock in every process
    token: int


def lines(ledger: Path) -> list[Event]:
    """Return the ledger."""
    rows = [line.split() for line in ledger.read_text().splitlines()]
    return [Event(w, id, int(a), int(pid), float(at), int(t)) for w, id, a, pid, at, t in rows]


def events(ledger: Path) -> list[tuple[str, str, int]]:
    """Return event, job id and attempt of each line."""
    return [(event.what, event.id, event.attempt) for event in lines(ledger)]


def ran(ledger: Path) -> Counter[str]:
    """Return how often each job ran to its end."""
    return Counter(event.id for event in lines(ledger) if event.what == "ran")


class Tree(subprocess.Popen[bytes]):
    """A supervisor and its workers, in a process group of their own."""

    def __init__(self, log: Path, *words: str, **env: str) -> None:
        self.log = log
        with log.open("wb") as out:
            super().__init__(
                [sys.executable, "-m", "django", "runjobs", *words],
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **env},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Return what it has printed."""
        return self.log.read_text()

    def children(self) -> list[int]:
        """Return the process ids of the workers."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def kill_all(self) -> None:
        """Kill whatever of it is alive."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)


@contextmanager
def trees(ledger: Path) -> Iterator[Callable[..., Tree]]:
    """Give what starts trees that write to this ledger; what does not stop in a second is killed."""
    started: list[Tree] = []

    def start(*words: str, **env: str) -> Tree:
        log = ledger.with_name(f"runjobs-{len(started) + 1}")
        started.append(Tree(log, *words, LEDGER=str(ledger), **env))
        return started[-1]

    yield start
    for tree in started:
        tree.terminate()
    for tree in started:
        with suppress(subprocess.TimeoutExpired):
            tree.wait(1)
        tree.kill_all()
        print(f"--- {tree.log.name}", tree.output, sep="\n")
