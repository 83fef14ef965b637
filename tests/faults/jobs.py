"""Handlers that hurt."""

import ctypes
import os
import sys
import time

from django_jobs import Job, handler
from tests.testapp.jobs import write

# Called through PyDLL, a C function keeps the GIL; through CDLL it gives it up.
HOLDING, GIVING = ctypes.PyDLL(None), ctypes.CDLL(None)


class Doom(BaseException):
    """What is no Exception."""


@handler("fault.hold_gil")
def hold_gil(job: Job) -> None:
    """Sleep in C; nothing else in this process runs meanwhile."""
    write(job, "began")
    HOLDING.usleep(int(job.payload["seconds"] * 1_000_000))
    write(job, "ran")


@handler("fault.clock", max_attempts=1)
def clock(job: Job) -> None:
    """Fail, and say what time it is here."""
    raise RuntimeError(str(time.time()))


@handler("fault.tick", result_ttl=600)
def tick(job: Job) -> None:
    """End at once, and stay as a record."""
    write(job, "ran")


@handler("fault.broken", backoff=0.05)
def broken(job: Job) -> None:
    """Raise; the next attempt is a moment later."""
    write(job, "began")
    raise RuntimeError("out of order")


@handler("fault.flaky", backoff=0.05)
def flaky(job: Job) -> None:
    """Raise in the first attempts, as many as the payload says; say how far it is."""
    write(job, "began")
    job.progress(0.5, "half")
    time.sleep(job.payload["seconds"])
    if job.attempts < job.payload["failures"]:
        raise RuntimeError("not yet")
    write(job, "ran")


@handler("fault.base_exception", max_attempts=2)
def base_exception(job: Job) -> None:
    """Raise what is no Exception."""
    write(job, "began")
    raise Doom("doomed")


@handler("fault.sys_exit", max_attempts=2)
def sys_exit(job: Job) -> None:
    """Leave as a script would."""
    write(job, "began")
    sys.exit(3)


@handler("fault.os_exit", max_attempts=2)
def os_exit(job: Job) -> None:
    """Leave without a word."""
    write(job, "began")
    os._exit(3)


@handler("fault.segfault", max_attempts=2)
def segfault(job: Job) -> None:
    """Read at address 0."""
    write(job, "began")
    ctypes.string_at(0)


@handler("fault.crowded", max_attempts=5)
def crowded(job: Job) -> None:
    """Kill the worker once the neighbours have begun."""
    write(job, "began")
    time.sleep(0.2)
    os._exit(3)


@handler("fault.endless", max_attempts=1, timeout=0.3)
def endless(job: Job) -> None:
    """Never return, in Python."""
    write(job, "began")
    while True:
        time.sleep(0.01)


@handler("fault.endless_in_c", max_attempts=1, timeout=0.3)
def endless_in_c(job: Job) -> None:
    """Never return, in C: no exception gets in there."""
    write(job, "began")
    GIVING.sleep(1000)


@handler("fault.endless_with_gil", max_attempts=1, timeout=0.3)
def endless_with_gil(job: Job) -> None:
    """Never return, in C, and let no other thread run."""
    write(job, "began")
    HOLDING.sleep(1000)
