"""Handlers for the tests; what they did is written to the file LEDGER, outside Redis."""

import asyncio
import os
import signal
import time
from pathlib import Path

from django_jobs import Fail, Job, Snooze, handler
from tests.testapp.models import Note


def write(job: Job, event: str) -> None:
    """Append one line to the ledger, in one write."""
    line = f"{event} {job.id} {job.attempt} {os.getpid()} {time.monotonic()} {job.token}\n"
    with Path(os.environ["LEDGER"]).open("a") as ledger:
        ledger.write(line)


@handler("test.quick")
def quick(job: Job) -> None:
    """End at once."""
    write(job, "ran")


@handler("test.renamed", aliases=("test.former",))
def renamed(job: Job) -> None:
    """End at once, also for jobs from before the change."""
    write(job, "ran")


@handler("test.add", result_ttl=60)
def add(job: Job) -> object:
    """Return a sum, and what JSON has more of."""
    write(job, "began")
    return {"sum": sum(job.payload), "all": [1.5, None, "é"]}


@handler("test.add_async", result_ttl=60)
async def add_async(job: Job) -> int:
    """Return a sum."""
    await asyncio.sleep(0.1)
    return sum(job.payload)


@handler("test.unspeakable", result_ttl=60, max_attempts=3)
def unspeakable(job: Job) -> object:
    """Return what is no JSON."""
    write(job, "began")
    return {1, 2}


@handler("test.nap")
def nap(job: Job) -> None:
    """Sleep as long as the payload says."""
    write(job, "began")
    time.sleep(job.payload["seconds"])
    write(job, "ran")


@handler("test.nap_async")
async def nap_async(job: Job) -> None:
    """Sleep on the event loop."""
    write(job, "began")
    await asyncio.sleep(job.payload["seconds"])
    write(job, "ran")


@handler("test.broken", backoff=0)
def broken(job: Job) -> None:
    """Raise."""
    write(job, "began")
    raise RuntimeError("out of order")


@handler("test.hopeless")
def hopeless(job: Job) -> None:
    """Say that retrying is useless."""
    raise Fail("no such order")


@handler("test.patient")
def patient(job: Job) -> None:
    """Work until somebody has enough of it."""
    write(job, "began")
    while not job.cancelled:
        time.sleep(0.02)
    raise RuntimeError("stopped half way")


@handler("test.stubborn")
def stubborn(job: Job) -> None:
    """Work on, whatever anybody says."""
    write(job, "began")
    while True:
        time.sleep(0.02)


@handler("test.snooze", max_attempts=1)
def snooze(job: Job) -> None:
    """Run at the third claim."""
    write(job, "began")
    if job.token < 3:
        raise Snooze(after=0.2)
    write(job, "ran")


@handler("test.leave", backoff=0, max_attempts=2)
def leave(job: Job) -> None:
    """Call sys.exit, as a script would."""
    raise SystemExit(3)


@handler("test.kill", max_attempts=2)
def kill(job: Job) -> None:
    """Take the whole worker process along."""
    write(job, "began")
    os.kill(os.getpid(), signal.SIGKILL)


@handler("test.endless", timeout=0.3, max_attempts=1)
def endless(job: Job) -> None:
    """Never return, in Python."""
    while True:
        time.sleep(0.01)


@handler("test.endless_async", timeout=0.3, max_attempts=1)
async def endless_async(job: Job) -> None:
    """Never return, on the event loop."""
    await asyncio.Event().wait()


@handler("test.note")
def note(job: Job) -> None:
    """Write to the database."""
    Note.objects.create(text=job.payload["text"])


@handler("test.note_async")
async def note_async(job: Job) -> None:
    """Write to the database from the event loop."""
    await Note.objects.acreate(text=job.payload["text"])
