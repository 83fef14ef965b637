"""The tasks that are measured; see jobs.py."""

from django.tasks import task

from benchmarks.jobs import ledger


@task
def mark(n: int) -> None:
    """Do nothing else."""
    ledger.mark(n)


@task
async def mark_async(n: int) -> None:
    """Do nothing else, on the event loop."""
    ledger.mark(n)


kept = mark.using(backend="kept")
