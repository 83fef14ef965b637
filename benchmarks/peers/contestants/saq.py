"""SAQ."""
# /// script
# dependencies = ["saq[redis,hiredis]", "typing_extensions", "django"]
# [tool.peer]
# waiting = "saq:default:queued"
# held = ["saq:default:incomplete", "saq:default:queued", "saq:default:active"]
# safe = "saq {module}.settings --workers 2 -q"
# settings = [
#   "two processes, fifty jobs at once in each, async jobs; results kept for no time (ttl -1)",
#   "in the fault race two jobs at once in each, retries 5, timeout 10 s, swept every second",
# ]
# better = "Made for async code; a web page of its own; PostgreSQL too."
# [[tool.peer.speed]]
# title = "SAQ"
# noop = "saq {module}.settings --workers 2 -q"
# nap = "saq {module}.settings --workers 2 -q"
# ///

from saq import Queue

from benchmarks.peers import work

queue = Queue.from_url(work.URL)
options = {"retries": 5, "timeout": 10} if work.SAFE else {"ttl": -1}


async def run(context, *, kind, number):
    """Run a job."""
    await work.arun(kind, number)


settings = {
    "queue": queue,
    "functions": [run],
    "concurrency": 2 if work.SAFE else 50,
    "timers": {"sweep": 1} if work.SAFE else {},
}


async def push(kind, numbers):
    """Push one by one."""
    for number in numbers:
        await queue.enqueue("run", kind=kind, number=number, **options)
