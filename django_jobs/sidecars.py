"""Functions that run beside the workers, each in a child of its own, as long as the supervisor.

They are killed when it ends: what they do must bear that at any moment.
"""

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

from django_jobs.child import START_METHOD, settle_in
from django_jobs.grave import cause

log = logging.getLogger("django_jobs")

Function = Callable[[], None] | partial[None]

FIRST_PAUSE = 0.5  # seconds until one that has died is started again; doubled each time
LONGEST_PAUSE = 60.0
OLD = 60.0  # seconds; one that lived so long is started again as if it were the first time

installed: list[Function] = []  # filled in ready(); for every `runjobs`


@dataclass(eq=False)
class Sidecar:
    """A function, and the process that runs it."""

    function: Function
    process: BaseProcess | None = None
    began: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE

    @property
    def name(self) -> str:
        """Return what the log calls it."""
        function = self.function.func if isinstance(self.function, partial) else self.function
        return f"{function.__module__}.{function.__qualname__}"


class Sidecars:
    """Starts functions, and starts them again, at growing intervals, when they end."""

    def __init__(self, functions: Sequence[Function], before_fork: Callable[[], None]) -> None:
        self._all = [Sidecar(function) for function in functions]
        self._before_fork = before_fork

    @property
    def sentinels(self) -> list[int]:
        """Return what becomes readable when one ends."""
        return [sidecar.process.sentinel for sidecar in self._all if sidecar.process]

    def tend(self) -> None:
        """Start what does not run, unless it has to pause."""
        now = time.monotonic()
        for sidecar in self._all:
            if (process := sidecar.process) and not process.is_alive():
                _reap(sidecar, process, now)
            if sidecar.process is None and now >= sidecar.start_at:
                self._start(sidecar, now)

    def end(self) -> None:
        """Kill what runs."""
        for sidecar in self._all:
            if sidecar.process:
                sidecar.process.kill()
                sidecar.process.join()

    def _start(self, sidecar: Sidecar, now: float) -> None:
        self._before_fork()
        context: Any = multiprocessing.get_context(START_METHOD)
        sidecar.process = context.Process(
            target=live, args=(os.getpid(), sidecar.function), name=sidecar.name
        )
        sidecar.process.start()
        sidecar.began = now


def live(parent: int, function: Function) -> None:
    """Be a sidecar: obey the supervisor, not the group's signals, and end with it."""
    settle_in(parent)
    threading.Thread(target=_follow_parent, daemon=True).start()
    function()


def _follow_parent() -> None:
    """Do what the kernel does on Linux only."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _reap(sidecar: Sidecar, process: BaseProcess, now: float) -> None:
    process.join()
    sidecar.process = None
    if now - sidecar.began > OLD:
        sidecar.pause = FIRST_PAUSE
    log.error(
        "%s ended (%s); it is started again in %g s.",
        *(sidecar.name, cause(process.exitcode), sidecar.pause),
    )
    sidecar.start_at = now + sidecar.pause
    sidecar.pause = min(LONGEST_PAUSE, 2 * sidecar.pause)
