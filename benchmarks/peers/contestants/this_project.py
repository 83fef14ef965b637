"""This project."""
# /// script
# dependencies = ["django", "redis[hiredis]", "django-environ"]
# [tool.peer]
# apps = ["django_jobs", "benchmarks.peers.contestants.this_project.Contestant"]
# waiting = "jobs:default:active"
# held = ["jobs:default:active", "jobs:default:processing", "jobs:default:scheduled"]
# failed = ["jobs:default:failed"]
# safe = "python -m django runjobs --queues default --processes 2 --concurrency 2"
# settings = [
#   "two processes, for jobs of 1 ms --concurrency 32; the rest as it comes",
#   "in the fault race two jobs at once in each process, LEASE 5 s, so that a dead machine is seen soon",
# ]
# better = "Its pushes wait for the commit; its admin; this page."
# [[tool.peer.speed]]
# title = "django_jobs"
# noop = "python -m django runjobs --queues default --processes 2"
# nap = "python -m django runjobs --queues default --processes 2 --concurrency 32"
# ///

from django.apps import AppConfig

from benchmarks.peers import work
from django_jobs import handler, push_job, push_jobs

WAITS_FOR_THE_COMMIT = True


class Contestant(AppConfig):
    """Brings the handler to `runjobs`."""

    name = "benchmarks.peers.contestants"


@handler("run")
def run(job):
    """Run a job."""
    work.run(**job.payload)


def push(kind, numbers):
    """Push one by one."""
    for number in numbers:
        push_job(run, {"kind": kind, "number": number})


def push_many(kind, numbers):
    """Push in one call."""
    push_jobs(run, [{"kind": kind, "number": number} for number in numbers])
