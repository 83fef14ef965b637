"""Runs jobs in threads, or on one event loop, and decides outcomes. It never touches Redis."""

import asyncio
import ctypes
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from django.db import connections

from django_jobs import backoff
from django_jobs.backoff import Backoff
from django_jobs.exceptions import Fail, JobTimeout, LeaseLost, PayloadError, Retry, UnknownHandler
from django_jobs.failure import Failure
from django_jobs.handlers import Handler, get_handler
from django_jobs.job import Claimed, Job
from django_jobs.signals import job_started

log = logging.getLogger("django_jobs")

IDLE = 1.0  # seconds until an idle thread closes its database connections


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run produced, by its kind.

    One of succeeded, retry, failed, unknown (no such handler), released (given back), lost.
    """

    kind: str
    delay: float = 0.0
    failure: Failure | None = None
    error: BaseException | None = None


SUCCEEDED = Outcome("succeeded")
UNKNOWN = Outcome("unknown")
RELEASED = Outcome("released")
LOST = Outcome("lost")

Done = Callable[[Claimed, Outcome], None]
Started = Callable[[Claimed, float], None]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a queue's settings say where neither push nor handler does; times in seconds."""

    timeout: float | None = None
    backoff: Backoff | None = None


def call_handler(handler: Handler, job: Job) -> Any:
    """Call the handler's function; wrappers go around this."""
    return handler.function(job)


def find_handler(claimed: Claimed, wait: float) -> Handler | Outcome:
    """Return the job's handler; an outcome if this code does not know it.

    For `wait` seconds since it was first missed, the job is left to other workers.
    """
    try:
        return get_handler(claimed.handler)
    except UnknownHandler as error:
        if claimed.unknown_ms < wait * 1000:
            return UNKNOWN
        return Outcome("failed", failure=Failure.of(error, ""), error=error)


def decide(error: BaseException, claimed: Claimed, handler: Handler, policy: Policy) -> Outcome:
    """Return the outcome of a run that raised."""
    if isinstance(error, LeaseLost):
        return LOST
    failure = Failure.of(error, "")
    if isinstance(error, Fail | PayloadError) or claimed.attempt >= claimed.max_attempts:
        return Outcome("failed", failure=failure, error=error)
    chosen = policy.backoff if handler.backoff is None else handler.backoff
    if isinstance(error, Retry) and error.after is not None:
        chosen = error.after
    try:
        delay = backoff.delay(chosen, claimed.attempt, error)
    except Exception:
        log.exception("The backoff of handler %s raised; the default is used.", handler.name)
        delay = backoff.delay(None, claimed.attempt, error)
    return Outcome("retry", delay, failure, error)


def time_limit(claimed: Claimed, handler: Handler, policy: Policy) -> float | None:
    """Return the seconds a run may take: push wins over handler over queue."""
    return claimed.timeout or handler.timeout or policy.timeout


class Executor:
    """Up to `concurrency` runs at once; `done` is called in the thread that ran the job."""

    def __init__(
        self,
        concurrency: int,
        policy_of: Callable[[str], Policy],
        *,
        started: Started,
        done: Done,
        progress: Callable[[Job, float, str], None],
    ) -> None:
        self.concurrency = concurrency
        self._policy_of = policy_of
        self._started = started
        self._done = done
        self._progress = progress
        self._inbox: SimpleQueue[tuple[Claimed, Handler]] = SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[Claimed, int | asyncio.Task[None]] = {}
        self._threads = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, claimed: Claimed, handler: Handler) -> None:
        """Run a job as soon as a thread, or the event loop, is free."""
        if handler.is_async:
            self._event_loop().call_soon_threadsafe(self._spawn, claimed, handler)
            return
        self._inbox.put((claimed, handler))
        wanted = self._inbox.qsize() + len(self._running)
        if self._threads < min(self.concurrency, wanted):
            self._threads += 1
            threading.Thread(target=self._work, name="django_jobs-run", daemon=True).start()

    def take_back(self) -> list[Claimed]:
        """Return the jobs that no thread has begun, oldest first; they will not run."""
        taken = []
        while True:
            try:
                taken.append(self._inbox.get_nowait()[0])
            except Empty:
                return taken

    def interrupt(self, claimed: Claimed, error: type[BaseException]) -> None:
        """Raise JobTimeout or LeaseLost in a run, if it is still under way."""
        with self._lock:
            run = self._running.get(claimed)
            if isinstance(run, int):
                _raise_in_thread(run, error)
            elif run is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(run.cancel, error)

    def _work(self) -> None:
        while True:
            try:
                claimed, handler = self._inbox.get(timeout=IDLE)
            except Empty:
                close_connections(idle=True)
                claimed, handler = self._inbox.get()
            outcome = self._run(claimed, handler)
            self._done(claimed, outcome)

    def _run(self, claimed: Claimed, handler: Handler) -> Outcome:
        error = self._call(claimed, handler)
        close_connections(idle=False)
        return self._outcome(error, claimed, handler)

    def _call(self, claimed: Claimed, handler: Handler) -> BaseException | None:
        """Return what the handler raised; an interrupt that comes late stays in here."""
        returned, raised, ident = False, None, threading.get_ident()
        try:
            try:
                self._running[claimed] = ident
                call_handler(handler, self._begin(claimed, handler))
                returned = True
            except BaseException as error:  # noqa: BLE001 - whatever a handler raises is an outcome
                raised = error
            self._leave(claimed, ident)
        except (JobTimeout, LeaseLost) as late:
            raised = raised or late
            self._leave(claimed, ident)
        return None if returned else raised

    def _begin(self, claimed: Claimed, handler: Handler) -> Job:
        if claimed.lost:
            raise LeaseLost
        limit = time_limit(claimed, handler, self._policy_of(claimed.queue))
        self._started(claimed, time.monotonic() + limit if limit else 0.0)
        job = claimed.job(self._progress)
        if job_started.receivers:
            job_started.send_robust(handler.name, job=job)
        return job

    def _outcome(self, error: BaseException | None, claimed: Claimed, handler: Handler) -> Outcome:
        if error is None:
            return SUCCEEDED
        return decide(error, claimed, handler, self._policy_of(claimed.queue))

    def _leave(self, claimed: Claimed, ident: int) -> None:
        """Take the run off the list; an exception still on its way must not hit the next job."""
        while claimed in self._running:
            try:
                with self._lock:
                    _raise_in_thread(ident, None)
                    self._running.pop(claimed, None)
            except (JobTimeout, LeaseLost):
                continue

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=self._loop.run_forever, name="django_jobs-loop", daemon=True
            ).start()
        return self._loop

    def _spawn(self, claimed: Claimed, handler: Handler) -> None:
        task = asyncio.get_running_loop().create_task(self._run_async(claimed, handler))
        self._running[claimed] = task

    async def _run_async(self, claimed: Claimed, handler: Handler) -> None:
        raised: BaseException | None = None
        try:
            await call_handler(handler, self._begin(claimed, handler))
        except asyncio.CancelledError as cancelled:
            reason = cancelled.args[0] if cancelled.args else None
            raised = reason() if isinstance(reason, type) else cancelled
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is an outcome
            raised = error
        with self._lock:
            self._running.pop(claimed, None)
        self._done(claimed, self._outcome(raised, claimed, handler))


def close_connections(*, idle: bool) -> None:
    """Close this thread's database connections that are broken, left in a transaction, or old.

    A healthy one stays for the next job even with CONN_MAX_AGE = 0, until the thread is idle.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        kept = connection.close_at is None or connection.settings_dict["CONN_MAX_AGE"] == 0
        if kept and not idle and not connection.errors_occurred and _settled(connection):
            continue
        connection.close_if_unusable_or_obsolete()


def _settled(connection: Any) -> bool:
    return not connection.in_atomic_block and (
        connection.autocommit == connection.settings_dict["AUTOCOMMIT"]
    )


def _raise_in_thread(ident: int, error: type[BaseException] | None) -> None:
    raised = ctypes.py_object(error) if error else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), raised)
