"""Runs jobs, sync handlers in threads and async ones on a loop. It never touches Redis."""

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from django_jobs import databases
from django_jobs.caught import Caught
from django_jobs.event_loop import EventLoop
from django_jobs.exceptions import JobStopped, JobTimeout, LeaseLost
from django_jobs.handlers import Handler
from django_jobs.job import Claimed, Job
from django_jobs.middleware import Run, wrapped
from django_jobs.outcome import Outcome, Policy, decide, time_limit
from django_jobs.signals import job_started

INTERRUPTS = (JobTimeout, JobStopped, LeaseLost)
IDLE = 1.0  # seconds until an idle thread closes its database connections

Done = Callable[[Claimed, Outcome], None]
Started = Callable[[Claimed, float], None]


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
        middleware: Sequence[str] = (),
    ) -> None:
        self.concurrency = concurrency
        self._policy_of = policy_of
        self._middleware = middleware
        self._runs: dict[Handler, Run] = {}
        self._started = started
        self._done = done
        self._progress = progress
        self._inbox: deque[tuple[Claimed, Handler]] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()  # wakes one idle thread
        self._rung = False  # and that one has not answered yet
        self._lock = threading.Lock()
        self._running: dict[Claimed, int] = {}  # in which thread
        self._interrupted: set[Claimed] = set()
        self._threads = 0
        self._loop = EventLoop(self._run, self._end)

    def submit(self, claimed: Claimed, handler: Handler) -> None:
        """Run a job as soon as a thread, or the event loop, is free."""
        if handler.is_async:
            self._loop.submit(claimed, handler)
            return
        self._inbox.append((claimed, handler))
        if self._threads < min(self.concurrency, len(self._inbox) + len(self._running)):
            self._threads += 1
            threading.Thread(target=self._work, name="django_jobs-run", daemon=True).start()
        else:
            self._ring()

    @property
    def waiting(self) -> bool:
        """Say whether jobs wait for a thread."""
        return bool(self._inbox)

    def take_back(self) -> list[Claimed]:
        """Return the jobs that no thread has begun, oldest first; they will not run."""
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._inbox.popleft()[0])
        return taken

    def interrupt(self, claimed: Claimed, error: type[BaseException]) -> None:
        """Raise JobTimeout, JobStopped or LeaseLost in a run, if it is still under way."""
        with self._lock:
            thread = self._running.get(claimed)
            if thread is not None:
                self._interrupted.add(claimed)
                _raise_in_thread(thread, error)
                return
        self._loop.cancel(claimed, error)

    def _ring(self) -> None:
        """Wake one idle thread, unless one is being woken; it will wake the next.

        Many short jobs are then done by the first, before the others, woken all at once,
        have taken the GIL from it one by one to find nothing.
        """
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def _work(self) -> None:
        thread = threading.get_ident()
        while True:
            try:
                claimed, handler = self._inbox.popleft()
            except IndexError:
                self._rest()
                continue
            if self._inbox:
                self._ring()
            result, error = self._call(claimed, handler, thread)
            databases.tidy(idle=False)
            self._end(claimed, handler, error, result)

    def _rest(self) -> None:
        try:
            self._bell.get(timeout=IDLE)
        except Empty:
            databases.tidy(idle=True)
            self._bell.get()
        self._rung = False

    def _call(
        self, claimed: Claimed, handler: Handler, thread: int
    ) -> tuple[Any, BaseException | None]:
        """Return what the handler returned, or raised; an interrupt that comes late stays here."""
        result, returned, caught = None, False, Caught(BaseException)
        try:
            with caught:
                self._running[claimed] = thread
                result = self._run(claimed, handler)
                returned = True
            self._leave(claimed, thread)
        except INTERRUPTS as late:
            caught.error = caught.error or late
            self._leave(claimed, thread)
        return result, None if returned else caught.error

    def _run(self, claimed: Claimed, handler: Handler) -> Any:
        """Call the handler; an async one returns what is to be awaited."""
        if claimed.lost:
            raise LeaseLost
        if claimed.stopped:
            raise JobStopped
        limit = time_limit(claimed, handler, self._policy_of(claimed.queue))
        self._started(claimed, time.monotonic() + limit if limit else 0.0)
        job = claimed.job(self._progress)
        if job_started.receivers:
            job_started.send_robust(handler.name, job=job)
        run = self._runs.get(handler)
        if run is None:
            run = self._runs[handler] = wrapped(handler, self._middleware)
        return run(job)

    def _leave(self, claimed: Claimed, thread: int) -> None:
        """Take the run off the list; an exception still on its way must not hit the next job."""
        while claimed in self._running:
            try:
                with self._lock:
                    if claimed in self._interrupted:
                        _raise_in_thread(thread, None)
                        self._interrupted.remove(claimed)
                    self._running.pop(claimed, None)
            except INTERRUPTS:
                continue

    def _end(
        self, claimed: Claimed, handler: Handler, error: BaseException | None, result: Any = None
    ) -> None:
        policy = self._policy_of(claimed.queue)
        self._done(claimed, decide(error, claimed, handler, policy, result))


def _raise_in_thread(ident: int, error: type[BaseException] | None) -> None:
    raised = ctypes.py_object(error) if error else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), raised)
