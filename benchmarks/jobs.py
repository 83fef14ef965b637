"""The handlers that are measured. Each marks its job's place in the ledger."""

import time

from benchmarks.ledger import open_ledger
from django_jobs import Job, handler

ledger = open_ledger()

TURNS = 10_000  # of an empty loop: 100 to 160 µs, as the machine pleases


@handler("noop")
def noop(job: Job) -> None:
    """Do nothing else."""
    ledger.mark(job.payload["n"])


@handler("spin")
def spin(job: Job) -> None:
    """Use some 100 µs of the processor."""
    for _ in range(TURNS):
        pass
    ledger.mark(job.payload["n"])


@handler("nap")
def nap(job: Job) -> None:
    """Wait 10 ms, as for a network."""
    time.sleep(0.01)
    ledger.mark(job.payload["n"])


@handler("stamp")
def stamp(job: Job) -> None:
    """Write down when it started."""
    ledger.stamp(job.payload["n"], time.time_ns())
