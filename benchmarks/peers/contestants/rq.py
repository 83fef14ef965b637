"""RQ; `django-rq` starts the same worker."""
# /// script
# dependencies = ["rq", "hiredis", "django"]
# [tool.peer]
# waiting = "rq:queue:default"
# held = ["rq:queue:default", "rq:queue:default:intermediate", "rq:wip:default", "rq:scheduled:default"]
# failed = ["rq:failed:default"]
# safe = "rq worker-pool default -n 4 -w {module}.PromptWorker -u {url} -q"
# settings = [
#   "SimpleWorker: no fork for each job; results kept for 0 s; one process for each job at once: it has no threads",
#   "in the fault race the forking Worker, Retry(max=5), worker_ttl 20 s, maintenance every 2 s; it takes a dead worker's job after 60 s at the earliest",
# ]
# better = "The simplest to read and to debug; a process for each job, so that a crash harms that job alone; django-rq's admin pages."
# [[tool.peer.speed]]
# title = "RQ"
# noop = "rq worker-pool default -n 2 -w rq.SimpleWorker -u {url} -q"
# nap = "rq worker-pool default -n 8 -w rq.SimpleWorker -u {url} -q"
# ///

from redis import Redis
from rq import Queue, Retry, Worker

from benchmarks.peers import work

queue = Queue(connection=Redis.from_url(work.URL))
options = {"result_ttl": 0, "retry": Retry(max=5) if work.SAFE else None}


class PromptWorker(Worker):
    """Looks for dead workers' jobs soon; `worker-pool` has no option for that."""

    def __init__(self, *words, **named):
        super().__init__(*words, **{**named, "worker_ttl": 20, "maintenance_interval": 2})


def run(kind, number):
    """Run a job."""
    work.run(kind, number)


def push(kind, numbers):
    """Push one by one."""
    for number in numbers:
        queue.enqueue(run, kind, number, **options)


def push_many(kind, numbers):
    """Push in pipelines of 200."""
    jobs = [Queue.prepare_data(run, (kind, number), **options) for number in numbers]
    for first in range(0, len(jobs), 200):
        queue.enqueue_many(jobs[first : first + 200])
