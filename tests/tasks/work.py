"""Tasks for the tests."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from django_jobs.task_backend import task


class Busy(Exception):
    """Try again."""


@task
def echo(*args: Any, **kwargs: Any) -> Any:
    """Return the arguments."""
    return [list(args), kwargs]


@task(queue_name="email", priority=7)
def send(to: str) -> str:
    """Be in another queue."""
    return f"sent to {to}"


@task
async def echo_async(value: Any) -> Any:
    """Return the argument, and where this runs."""
    await asyncio.sleep(0)
    return [value, asyncio.get_running_loop().is_running()]


@task(takes_context=True)
async def context_async(context: Any) -> Any:
    """Return what the context knows."""
    return [context.attempt, context.task_result.id, context.task_result.worker_ids]


@task
def returns(what: str) -> Any:
    """Return what is not JSON."""
    return {"set": {1}, "bytes": b"x", "nan": float("nan"), "key": {1: 2}, "deep": [(1, {2})]}[what]


@task
def fails() -> None:
    """Raise."""
    raise ValueError("no such order")


@task
def leaves() -> None:
    """Call sys.exit, as a script would."""
    raise SystemExit("left")


@task(takes_context=True, retry_on=(Busy,), backoff=0, max_attempts=4)
def busy(context: Any, times: int) -> Any:
    """Raise, so many times; then return what the context knows."""
    if context.attempt <= times:
        raise Busy(f"attempt {context.attempt}")
    result = context.task_result
    return [context.attempt, result.worker_ids, len(result.errors), str(result.started_at)]


@task(max_attempts=2)
def dies(path: str) -> str:
    """Take the worker process along at the first attempt."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@task(timeout=0.3)
def hangs() -> None:
    """Never return, in Python."""
    while True:
        time.sleep(0.01)


def backoff_of_two(attempt: int, error: BaseException) -> float:
    """Return a pause."""
    return 0.002


def plain() -> None:
    """Be no task."""


hidden = task(plain)
