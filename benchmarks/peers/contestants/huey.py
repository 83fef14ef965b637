"""Huey."""
# /// script
# dependencies = ["huey", "redis", "hiredis", "django"]
# [tool.peer]
# waiting = "huey.redis.peers"
# held = ["huey.redis.peers", "huey.schedule.peers"]
# safe = "huey_consumer {module}.huey -k process -w 4 -g TERM -c 1 -q"
# settings = [
#   "results off; processes, which were faster than threads in both loads; no prefetch to set",
#   "in the fault race SIGTERM as its graceful signal, retries=5, a health check every second; it has no acknowledgement to turn on",
# ]
# better = "Small, with one dependency; SQLite, files and PostgreSQL as stores; pipelines, locks and rate limits."
# [[tool.peer.speed]]
# title = "Huey"
# noop = "huey_consumer {module}.huey -k process -w 2 -q"
# nap = "huey_consumer {module}.huey -k process -w 32 -q"
# ///

from huey import RedisHuey

from benchmarks.peers import work

huey = RedisHuey("peers", url=work.URL, results=False)


@huey.task(retries=5 if work.SAFE else 0)
def run(kind, number):
    """Run a job."""
    work.run(kind, number)


def push(kind, numbers):
    """Push one by one."""
    for number in numbers:
        run(kind, number)
