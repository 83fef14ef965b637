"""streaQ."""
# /// script
# dependencies = ["streaq", "django"]
# [tool.peer]
# waiting = "streaq:default:queues:normal"
# held = ["streaq:default:queues:normal", "streaq:default:queues:delayed:*"]
# safe = "streaq run {module}:worker -w 2"
# settings = [
#   "two processes, a hundred jobs at once in each, async jobs; results kept for no time (ttl 0), silent",
#   "in the fault race two jobs at once in each, max_tries 5, idle_timeout 5 s, grace_period 10 s",
# ]
# better = "Typed; task dependencies; middleware; Redis Streams, which know what is pending."
# [[tool.peer.speed]]
# title = "streaQ"
# noop = "streaq run {module}:worker -w 2"
# nap = "streaq run {module}:worker -w 2"
# ///

from streaq import Worker

from benchmarks.peers import work

if work.SAFE:
    worker = Worker(redis_url=work.URL, concurrency=2, idle_timeout=5, grace_period=10)
else:
    worker = Worker(redis_url=work.URL, concurrency=100)


@worker.task(ttl=0, silent=True, max_tries=5 if work.SAFE else 3)
async def run(kind, number):
    """Run a job."""
    await work.arun(kind, number)


async def push(kind, numbers):
    """Push one by one."""
    async with worker:
        for number in numbers:
            await run.enqueue(kind, number)


async def push_many(kind, numbers):
    """Push in pipelines of 1,000."""
    async with worker:
        for first in range(0, len(numbers), 1000):
            some = numbers[first : first + 1000]
            await worker.enqueue_many([run.enqueue(kind, number) for number in some])
