"""The parent of the workers: starts them, beats for them, settles for the dead.

One thread, no job, no user code. An error that escapes its loop ends it at once.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from types import FrameType

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from django_jobs import grave
from django_jobs.child import STOP_SIGNALS, Child, OpenQueue, start_child
from django_jobs.claims import BEATS_PER_LEASE, beat_call, report_call
from django_jobs.holding import STOP_GRACE
from django_jobs.line import checked
from django_jobs.lines import Lines
from django_jobs.queue import Queue
from django_jobs.scripts import Call
from django_jobs.sidecars import Function, Sidecars
from django_jobs.vitals import Vitals
from django_jobs.worker import RECYCLE
from django_jobs.worker_options import WorkerOptions

log = logging.getLogger("django_jobs")

YOUNG = 5.0  # seconds; a worker that dies younger is started again after a pause
INTRODUCE = 60.0  # seconds between two introductions of the queues
BEAT_TIMEOUT = 1.0
TURN = 0.5


# What Redis should know of a queue before a worker claims from it; `age` of the supervisor in s.
Introduce = Callable[[Queue, float], Sequence[Call]]


class Supervisor:
    """Runs `processes` workers until it is told to stop, or they have drained the queues."""

    def __init__(
        self,
        queues: Sequence[Queue],
        open_queue: OpenQueue,
        options: WorkerOptions,
        *,
        processes: int = 1,
        shutdown_timeout: float = 25.0,
        discover: Callable[[], list[str]] | None = None,
        before_fork: Callable[[], None] = lambda: None,
        introduce: Introduce = lambda queue, age: (),
        sidecars: Sequence[Function] = (),
        vitals: Vitals | None = None,
    ) -> None:
        self._queues = list(queues)
        self._open_queue = open_queue
        self._options = options
        self._shutdown_timeout = shutdown_timeout
        self._discover = discover
        self._before_fork = before_fork
        self._introduce = introduce
        self._sidecars = Sidecars(sidecars, before_fork)
        self._vitals = vitals or Vitals()
        self._line = Lines(
            self._queues,
            socket_timeout=BEAT_TIMEOUT,
            socket_connect_timeout=BEAT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._children: list[Child] = []
        self._graves: list[grave.Grave] = []
        self._began, self._introduce_at = time.monotonic(), 0.0
        self._beat_at, self._start_at, self._young = 0.0, 0.0, 0
        self._missing = processes
        self._stop_at: float | None = None
        self._signals = 0
        self._silent = self._quiet = False
        self._wake, self._wake_in = socket.socketpair()

    def run(self) -> int:
        """Work until done; return the exit status."""
        self._listen()
        try:
            while self._under_way():
                self._turn()
            self._sidecars.end()
        except BaseException:
            log.critical("The supervisor failed; its workers end with it.", exc_info=True)
            logging.shutdown()
            os._exit(1)
        return 0

    def _under_way(self) -> bool:
        return bool(self._children or self._wanted() or self._graves)

    def _turn(self) -> None:
        now = time.monotonic()
        self._obey(now)
        if self._graves:
            self._bury()
        while self._wanted() and now >= self._start_at:
            self._start()
        self._sidecars.tend()
        if now >= self._beat_at and not (self._silent and self._hurried):
            self._beat(now)
        self._look_after(now)
        sentinels = [child.process.sentinel for child in self._children]
        wait(
            [*sentinels, *self._sidecars.sentinels, self._wake],
            max(0.0, min(TURN, self._beat_at - now)),
        )
        for child in [child for child in self._children if not child.process.is_alive()]:
            self._reap(child)

    @property
    def _hurried(self) -> bool:
        """Say whether the shutdown has used up its time, or got a second signal."""
        late = self._stop_at is not None and time.monotonic() >= self._stop_at
        return late or self._signals > 1

    # Signals.

    def _listen(self) -> None:
        self._wake.setblocking(False)
        self._wake_in.setblocking(False)
        signal.set_wakeup_fd(self._wake_in.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it for SIGHUP
                signal.signal(number, self._count_signal)

    def _count_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _obey(self, now: float) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(64)
        if self._signals and self._stop_at is None:
            log.info("Stopping: jobs under way have %g s.", self._shutdown_timeout)
            self._stop_at = now + self._shutdown_timeout
            for child in self._children:
                child.tell("stop")
        if self._hurried:
            for child in self._children:
                child.process.kill()

    # Children.

    def _wanted(self) -> bool:
        return self._missing > 0 and self._stop_at is None

    def _start(self) -> None:
        self._missing -= 1
        self._before_fork()
        names = [queue.name for queue in self._queues]
        child = start_child(names, self._open_queue, self._options, self._children)
        self._children.append(child)
        if self._quiet:
            child.tell("quiet")
        self._beat_at = 0.0

    def _reap(self, child: Child) -> None:
        child.process.join()
        self._children.remove(child)
        status = child.process.exitcode
        released = self._stop_at is not None and not child.timed_out
        self._graves.append(grave.Grave(child.table, status, released=released))
        child.pipe.close()
        if status == 0 and (self._options.drain or self._stop_at is not None):
            return
        self._missing += 1
        if status in (0, RECYCLE):
            return
        if released and self._hurried:
            log.warning("Worker %s was ended; its jobs are given back.", child.process.pid)
            return
        log.error("Worker %s died (%s).", child.process.pid, grave.cause(status))
        now = time.monotonic()
        self._young = self._young + 1 if now - child.began < YOUNG else 0
        self._start_at = now + (0.05 * 2 ** min(self._young, 9) if self._young > 1 else 0.0)

    def _bury(self) -> None:
        """Settle, recover and release what dead workers held, as soon as Redis answers."""
        for dead in list(self._graves):
            try:
                recovered = dead.bury(self._line, self._queues)
            except (RedisError, OSError) as error:
                self._line.close()
                self._leave_to_leases(error)
                return
            self._graves.remove(dead)
            for words in recovered:
                self._pass_on(words)

    def _leave_to_leases(self, error: Exception) -> None:
        """While Redis is away nothing can be buried; do not outstay a shutdown for it."""
        log.warning("Redis does not answer; a dead worker's jobs wait: %s", error)
        if self._hurried:
            self._graves.clear()
        self._graves = [dead for dead in self._graves if dead.holds or self._stop_at is None]

    def _pass_on(self, recovered: grave.Recovered) -> None:
        """Let a worker tell of it: receivers of signals are user code."""
        if self._children:
            self._children[0].tell("recovered", *recovered)
            return
        queue, jobs, states = recovered
        for (id, *_), state in zip(jobs, states, strict=True):
            log.warning("Job %s of queue %s: its worker died, now %s.", id, queue, state)

    def _look_after(self, now: float) -> None:
        for child in self._children:
            if late := child.overdue(now):
                pid = child.process.pid
                log.error("Worker %s is killed: job %s is past its timeout.", pid, late[0])
                child.timed_out = True
                child.process.kill()
            child.report_if_stuck(now)
        turns = [child.table.last_turn for child in self._children]
        idle = self._silent or self._quiet or self._stop_at is not None
        self._vitals.note(now, turns, working=not idle)

    # Beats.

    def _beat(self, now: float) -> None:
        self._beat_at = now + self._options.lease / BEATS_PER_LEASE
        about = self._about()
        if not about:
            return
        beat = beat_call(self._queues, self._options.lease, list(about))
        news = self._news(now)
        try:
            *_, told = checked(self._line.run([*news, beat, report_call(self._queues, about)]))
            self._introduce_at = now + INTRODUCE if news else self._introduce_at
            self._follow(told)
            self._find_queues()
        except (RedisError, OSError) as error:
            self._line.close()
            self._introduce_at = 0.0
            if not self._silent:
                log.warning("A beat did not reach Redis: %s", error)
            self._silent = True
        else:
            self._silent = False
            self._vitals.answered(now)

    def _news(self, now: float) -> list[Call]:
        """Return what is to be said of the queues, once a minute: Redis may have lost it."""
        if now < self._introduce_at:
            return []
        age = now - self._began
        return [call for queue in self._queues for call in self._introduce(queue, age)]

    def _about(self) -> dict[str, str]:
        """Return each worker's id, and what is told of it to whoever looks."""
        state = "stopping" if self._stop_at is not None else "quiet" if self._quiet else "running"
        names, concurrency = [queue.name for queue in self._queues], self._options.concurrency
        return {
            child.table.worker: child.about(state, names, concurrency) for child in self._children
        }

    def _follow(self, orders: Sequence[bytes]) -> None:
        """Do what somebody told one of the workers, with all of them."""
        if b"stop" in orders and not self._signals:
            log.info("Told to stop.")
            self._signals = 1
        for order in orders:
            if order.startswith(b"job "):
                _, number, id = order.decode("utf-8", "replace").split(" ", 2)
                self._stop_job(self._queues[int(number) - 1].name, id)
        if b"quiet" in orders and not self._quiet:
            log.info("Told to go quiet: jobs under way go on, no others are claimed.")
            self._quiet = True
            for child in self._children:
                child.tell("quiet")

    def _stop_job(self, queue: str, id: str) -> None:
        """Pass it on, and mind the deadline here: a run that holds the GIL hears nothing."""
        for child in self._children:
            child.table.limit(queue, id, time.monotonic() + STOP_GRACE)
            child.tell("stop job", queue, id)

    def _find_queues(self) -> None:
        names = self._discover() if self._discover else []
        known = {queue.name for queue in self._queues}
        new = [name for name in names if name not in known]
        if new:
            self._queues += [self._open_queue(name) for name in new]
            self._beat_at = self._introduce_at = 0.0
            for child in self._children:
                child.tell("queues", new)
