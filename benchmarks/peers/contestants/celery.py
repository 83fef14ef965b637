"""Celery, prefork and threads."""
# /// script
# dependencies = ["celery[redis]", "hiredis", "django"]
# [tool.peer]
# waiting = "celery"
# held = ["celery", "unacked"]
# safe = "celery -A {module} worker -P prefork -c 4 -O fair --without-gossip --without-mingle -l ERROR"
# settings = [
#   "no results, no events, no gossip, no mingle: what costs time and no job needs",
#   "prefetch multiplier 64: its advice for many short jobs",
#   "in the fault race acks_late, reject_on_worker_lost, prefetch multiplier 1, -O fair, visibility_timeout 10 s and a look every second: its advice for jobs that must not be lost",
# ]
# better = "Canvas (chains, chords), four brokers, workers in other languages, fifteen years of use; prefork shares memory."
# [[tool.peer.speed]]
# title = "Celery, prefork"
# noop = "celery -A {module} worker -P prefork -c 2 --without-gossip --without-mingle --without-heartbeat -l ERROR"
# nap = "celery -A {module} worker -P prefork -c 16 --without-gossip --without-mingle --without-heartbeat -l ERROR"
# [[tool.peer.speed]]
# title = "Celery, threads"
# noop = "celery -A {module} worker -P threads -c 4 --without-gossip --without-mingle --without-heartbeat -l ERROR"
# nap = "celery -A {module} worker -P threads -c 16 --without-gossip --without-mingle --without-heartbeat -l ERROR"
# ///

from celery import Celery

from benchmarks.peers import work

prompt = {
    "visibility_timeout": 10,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
app = Celery("peers", broker=work.URL, fixups=[])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1 if work.SAFE else 64,
    task_acks_late=work.SAFE,
    task_reject_on_worker_lost=work.SAFE,
    broker_transport_options=prompt if work.SAFE else {},
    broker_connection_retry_on_startup=True,
)


@app.task
def run(kind, number):
    """Run a job."""
    work.run(kind, number)


def push(kind, numbers):
    """Push one by one."""
    for number in numbers:
        run.delay(kind, number)
