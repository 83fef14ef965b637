"""django-q2 with its Redis broker."""
# /// script
# dependencies = ["django-q2", "redis", "hiredis", "django"]
# [tool.peer]
# apps = ["django_q"]
# waiting = "django_q:peers:q"
# held = ["django_q:peers:q"]
# safe = "python -m django qcluster"
# settings = [
#   "no row for a job that succeeded (save_limit -1); no scheduler; workers are never recycled; two of them, for jobs of 1 ms eight",
#   "in the fault race the same: its Redis broker has no receipts to turn on (its ORM and SQS brokers have)",
# ]
# better = "Made for Django: schedules and failures in the database, shown in its admin; ORM broker with receipts."
# [[tool.peer.speed]]
# title = "django-q2"
# noop = "env PEER_WORKERS=2 python -m django qcluster"
# nap = "env PEER_WORKERS=8 python -m django qcluster"
# ///

from django_q.tasks import async_task

from benchmarks.peers import work


def run(kind, number):
    """Run a job."""
    work.run(kind, number)


def push(kind, numbers):
    """Push one by one."""
    for number in numbers:
        async_task(f"{__name__}.run", kind, number)
