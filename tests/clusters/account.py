"""The account of every job from push to ledger, while the servers it is on come and go."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from django_jobs.exceptions import PushError
from django_jobs.invariants import check
from django_jobs.options import JobOptions, new_job
from django_jobs.queue import Queue
from tests.conftest import wait_until
from tests.processes import lines, ran

NAP = 0.02  # seconds that a job takes
DELAY = 1.5  # seconds that one job in ten is to wait
LAG = 2.0  # seconds before its death of which a master may have told its replica nothing


@dataclass(frozen=True)
class Pushed:
    """A job that Redis said it has taken."""

    queue: str
    at: float  # monotonic
    delay: float


class Account:
    """Pushes to some queues, and knows what Redis said of each job."""

    def __init__(self, queues: Mapping[str, Queue], ledger: Path) -> None:
        self.queues = queues
        self.ledger = ledger
        self.taken: dict[str, Pushed] = {}
        self.kept: set[str] = set()  # a replica has them, too
        self.refused = 0

    def push(self, *, seconds: float = 0.0, until: Callable[[], object] | None = None) -> None:
        """Push to each queue in turn, for some time or until something holds."""
        end = time.monotonic() + (seconds or 60)
        while time.monotonic() < end and not (until and until()):
            for queue in self.queues.values():
                before = self._server_of(queue)
                ids = {id for _ in range(5) if (id := self._push(queue))}
                if before and self._server_of(queue) == before:
                    self.kept |= ids
            time.sleep(0.02)
        assert not until or until(), "it did not happen in time"

    def close(self, *, cut: float | None = None, seconds: float = 40) -> str:
        """Wait until all is done; nothing is lost, stuck, or early. Returns what was forgotten.

        `cut` is when a master died. A job may run again only if its end was told to nobody
        else by then, and be gone only if no replica had it.
        """
        wait_until(self._quiet, seconds)
        wrong = [sentence for queue in self.queues.values() for sentence in check(queue)]
        assert wrong == []
        runs = ran(self.ledger)
        missing = self.taken.keys() - runs.keys()
        assert not missing & self.kept, "lost, though a replica had it"
        assert cut or not missing, "lost"
        twice = {id for id, count in runs.items() if count > 1}
        ends = [event for event in lines(self.ledger) if event.what == "ran" and event.id in twice]
        first: dict[str, float] = {}
        for event in ends:
            first.setdefault(event.id, event.at)
        odd = {id: at for id, at in first.items() if not cut or not cut - LAG < at < cut + LAG}
        assert not odd, f"ran twice: {[event for event in ends if event.id in odd]}"
        self._check_early()
        return (
            f"{len(self.taken)} taken, {len(self.kept)} of them by a replica, {len(missing)}"
            f" forgotten, {len(twice)} ran twice, {self.refused} refused"
        )

    def ran_of(self, queue: str) -> int:
        """Return how many jobs of a queue have run."""
        return sum(self.taken[id].queue == queue for id in ran(self.ledger) if id in self.taken)

    def begin_anew(self) -> None:
        """Forget the jobs so far, whose account is closed."""
        self.taken.clear()
        self.kept.clear()
        self.ledger.write_text("")

    def _push(self, queue: Queue) -> str:
        delay = DELAY if len(self.taken) % 10 == 0 else 0.0
        options: JobOptions = {"delay": delay} if delay else {}
        job = new_job(
            {"seconds": NAP}, handler="test.nap", queue=queue.name, limit=1000, options=options
        )
        at = time.monotonic()
        try:
            queue.add([job])
        except PushError:
            self.refused += 1
            return ""
        self.taken[job.id] = Pushed(queue.name, at, delay)
        return job.id

    def _server_of(self, queue: Queue) -> str:
        """Return which server a queue is on, if a replica has all that was written there."""
        pipeline: Any = queue.client.pipeline(transaction=False)
        pipeline.set(f"{queue.root}:mark", 1).wait(1, 300).info("server")
        with suppress(RedisError):
            _, copies, about = pipeline.execute()
            return str(about["run_id"]) if copies else ""
        return ""

    def _quiet(self) -> bool:
        with suppress(RedisError):
            found = [queue.stats() for queue in self.queues.values()]
            return not any(stats.active + stats.processing + stats.scheduled for stats in found)
        return False

    def _check_early(self) -> None:
        first: dict[str, float] = {}
        for event in lines(self.ledger):
            first.setdefault(event.id, event.at)
        early = [
            id
            for id, pushed in self.taken.items()
            if first.get(id, float("inf")) < pushed.at + pushed.delay - 0.01
        ]
        assert not early
