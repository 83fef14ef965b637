"""The jobs a worker holds: entered in the flight table, run by the executor, until settled."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from django_jobs import flight
from django_jobs.exceptions import JobStopped, JobTimeout, LeaseLost
from django_jobs.executor import Executor
from django_jobs.handlers import Handler
from django_jobs.job import Claimed, Job
from django_jobs.outcome import Outcome, find_handler
from django_jobs.worker_options import WorkerOptions

log = logging.getLogger("django_jobs")

STOP_GRACE = 5.0  # seconds that a handler has to see `job.cancelled`
PATIENCE = 0.1  # seconds that a claimed job waits for a thread until it is given back


class Holding:
    """Keeps a slot for each job from its claim until its settle was answered."""

    def __init__(
        self,
        table: flight.FlightTable,
        options: WorkerOptions,
        *,
        ring: Callable[[], None],
        progress: Callable[[Job, float, str], None],
    ) -> None:
        self.table = table
        self._ring = ring
        self._unknown_wait = 0.0 if options.drain else options.unknown_wait
        self._held: dict[Claimed, None] = {}
        self._fresh: list[Claimed] = []  # entered, and not yet running
        self._let_run_at = 0.0  # when the last of them were let run
        self._limits: dict[Claimed, float] = {}
        self._done: deque[tuple[Claimed, Outcome]] = deque()
        self._executor = Executor(
            options.concurrency,
            options.policy_of,
            started=self._started,
            done=self._ended,
            progress=progress,
            middleware=options.middleware,
        )

    def __len__(self) -> int:
        """Return how many jobs are held, the ended but unsettled ones too."""
        return len(self._held)

    def of(self, queue: str) -> list[Claimed]:
        """Return the held jobs of one queue."""
        return [claimed for claimed in self._held if claimed.queue == queue]

    def add(self, claimed: Claimed) -> None:
        """Enter a job that was claimed; `start` lets it run."""
        claimed.slot = self.table.hold(
            claimed.queue, claimed.id, claimed.token, claimed.attempt, claimed.max_attempts
        )
        self._held[claimed] = None
        self._fresh.append(claimed)

    def start(self) -> None:
        """Let the jobs run that were entered since."""
        if not self._fresh:
            return
        fresh, self._fresh = self._fresh, []
        self._let_run_at = time.monotonic()
        for claimed in fresh:
            handler = find_handler(claimed, self._unknown_wait)
            if isinstance(handler, Handler):
                self._executor.submit(claimed, handler)
            else:
                self._ended(claimed, handler)

    def forget(self, claimed: Claimed) -> None:
        """Free the slot of a job whose settle was answered."""
        if claimed in self._held:
            del self._held[claimed]
            self.table.free(claimed.slot)

    def stop(self, queue: str, id: str) -> None:
        """Tell a run that it was cancelled; it has some seconds until JobStopped is raised in it."""
        for claimed in self.of(queue):
            if claimed.id == id and not claimed.stopped:
                log.info("Job %s of queue %s is to be stopped.", id, queue)
                claimed.stopped = True
                deadline = time.monotonic() + STOP_GRACE
                self._limits[claimed] = min(self._limits.get(claimed, deadline), deadline)

    def lose(self, claimed: Claimed) -> None:
        """Drop a job that is another worker's now; its slot is free when its run has ended."""
        if claimed not in self._held:
            return
        log.warning("Job %s of queue %s was given to another worker.", claimed.id, claimed.queue)
        del self._held[claimed]
        claimed.lost = True
        self._executor.interrupt(claimed, LeaseLost)

    def lose_all(self) -> None:
        """Drop every job."""
        for claimed in list(self._held):
            self.lose(claimed)

    def take_back(self) -> list[Claimed]:
        """Return the jobs that have not begun, oldest first; they will not run."""
        fresh, self._fresh = self._fresh, []
        return self._executor.take_back() + fresh

    def overdue(self) -> list[Claimed]:
        """Return the jobs that wait for a thread longer than those ahead should; they will not run.

        Long jobs have taken every thread: another worker may be free.
        """
        if self._executor.waiting and time.monotonic() >= self._let_run_at + PATIENCE:
            return self.take_back()
        return []

    def expire(self) -> None:
        """Raise JobTimeout in each run that is past its timeout, JobStopped where it was stopped."""
        now = time.monotonic()
        for claimed in [claimed for claimed, at in list(self._limits.items()) if at <= now]:
            self._limits.pop(claimed, None)
            self._executor.interrupt(claimed, JobStopped if claimed.stopped else JobTimeout)

    def next_limit(self) -> float:
        """Return when the next timeout, or what waits for a thread, falls due (monotonic)."""
        patience = self._let_run_at + PATIENCE if self._executor.waiting else float("inf")
        return min([*self._limits.values(), patience])

    def any_done(self) -> bool:
        """Say whether a run has ended since `done` was read."""
        return bool(self._done)

    def done(self) -> Iterator[tuple[Claimed, Outcome]]:
        """Yield what has ended since, but for what was lost meanwhile."""
        while self._done:
            claimed, outcome = self._done.popleft()
            self._limits.pop(claimed, None)
            if claimed.lost:
                self.table.free(claimed.slot)
            else:
                yield claimed, outcome

    # From the executor's threads.

    def _started(self, claimed: Claimed, deadline: float) -> None:
        claimed.took = time.monotonic()
        self.table.start(claimed.slot, deadline)
        if deadline:
            self._limits[claimed] = deadline
            self._ring()

    def _ended(self, claimed: Claimed, outcome: Outcome) -> None:
        if claimed.took:
            claimed.took = time.monotonic() - claimed.took
        if outcome.kind == "kept" and len(outcome.result.encode()) <= flight.ERROR_BYTES:
            self.table.end(claimed.slot, flight.KEPT, outcome.delay, outcome.result)
        elif outcome.kind in ("succeeded", "kept"):  # too long a result is lost with the worker
            self.table.succeed(claimed.slot)
        elif outcome.failure is not None:
            state = flight.RETRY if outcome.kind == "retry" else flight.FAILED
            self.table.end(claimed.slot, state, outcome.delay, outcome.failure.error)
        self._done.append((claimed, outcome))
        self._ring()
