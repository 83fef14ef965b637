"""The handlers that are measured. Each marks its job's place in the ledger."""

import time

from benchmarks.ledger import open_ledger
from django_jobs import Job, handler

ledger = open_ledger()


@handler("noop")
def noop(job: Job) -> None:
    """Do nothing else."""
    ledger.mark(job.payload["n"])


@handler("spin")
def spin(job: Job) -> None:
    """Use 100 µs of the processor."""
    until = time.perf_counter_ns() + 100_000
    while time.perf_counter_ns() < until:
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
