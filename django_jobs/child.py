"""A worker process: how it is started, what its supervisor knows of it, and how it lives."""

import ctypes
import json
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import django
from django.apps import apps

from django_jobs.claims import new_worker
from django_jobs.flight import STARTED, FlightTable
from django_jobs.queue import Queue
from django_jobs.signals import worker_stopped
from django_jobs.version import __version__
from django_jobs.vitals import STUCK
from django_jobs.worker import Worker, resident
from django_jobs.worker_options import WorkerOptions

log = logging.getLogger("django_jobs")

START_METHOD = "fork" if sys.platform == "linux" else "spawn"  # macOS breaks in forks
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KILL_GRACE = 5.0  # seconds a job may go on after its timeout was raised in it

OpenQueue = Callable[[str], Queue]


@dataclass(eq=False)
class Child:
    """A worker process, and what the supervisor knows of it."""

    process: BaseProcess
    table: FlightTable
    pipe: Connection
    release: str = ""
    began: float = field(default_factory=time.monotonic)
    started: float = field(default_factory=time.time)
    timed_out: bool = False
    reported: bool = False

    def about(self, state: str, queues: Sequence[str], concurrency: int) -> str:
        """Return what may be known of the worker, as a line of JSON."""
        facts = {
            "host": socket.gethostname(),
            "pid": self.process.pid,
            "supervisor": os.getpid(),
            "version": __version__,
            "release": self.release,
            "state": state,
            "queues": list(queues),
            "concurrency": concurrency,
            "busy": len(self.table.flights()),
            "memory": resident(self.process.pid or 0),
            "started": round(self.started),
        }
        return json.dumps(facts)

    def overdue(self, now: float) -> list[str]:
        """Return the ids of jobs that run on though their timeout was raised in them."""
        return [
            job.id
            for job in self.table.flights()
            if job.state == STARTED and 0 < job.deadline < now - KILL_GRACE
        ]

    def report_if_stuck(self, now: float) -> None:
        """Log it once when the main loop does not turn."""
        stuck = now - self.table.last_turn > STUCK
        if stuck and not self.reported:
            log.error("Worker %s: its main loop has not turned for %g s.", self.process.pid, STUCK)
        self.reported = stuck

    def tell(self, *words: Any) -> None:
        """Send word to the worker's main loop."""
        try:
            self.pipe.send(words)
        except OSError:
            log.debug("Worker %s hung up.", self.process.pid)


def start_child(
    queues: Sequence[str],
    open_queue: OpenQueue,
    options: WorkerOptions,
    siblings: Sequence[Child],
) -> Child:
    """Start a worker process that serves these queues."""
    context: Any = multiprocessing.get_context(START_METHOD)
    table = FlightTable(context, options.slots)
    table.worker = new_worker()
    ours, theirs = context.Pipe()
    forked = START_METHOD == "fork"
    inherited = [ours, *(child.pipe for child in siblings)] if forked else []
    process = context.Process(
        target=live,
        args=(os.getpid(), list(queues), open_queue, table, theirs, options),
        kwargs={"inherited": inherited},
        name="django_jobs worker",
    )
    process.start()
    theirs.close()
    return Child(process, table, ours, options.release)


def live(
    parent: int,
    queues: Sequence[str],
    open_queue: OpenQueue,
    table: FlightTable,
    pipe: Connection,
    options: WorkerOptions,
    *,
    inherited: Sequence[Connection],
) -> None:
    """Be a worker process: obey the supervisor, not the group's signals, and die with it."""
    for connection in inherited:
        connection.close()
    settle_in(parent)
    status = Worker([open_queue(name) for name in queues], open_queue, table, pipe, options).run()
    worker_stopped.send_robust(table.worker)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


def settle_in(parent: int) -> None:
    """Become a child that only its supervisor stops."""
    signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    die_with(parent)
    if not apps.ready:  # spawned: nothing was inherited
        django.setup()


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies; it may have died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
