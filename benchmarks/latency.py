"""From the push to the handler's first line: an idle worker, and one under a steady load."""

import json
import random
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.bare import ACTIVE, JOB, PROCESSING
from benchmarks.rig import ROOT, Rig, rig

BARE_WORKER = f"""
import json, os, time
from redis import Redis
from benchmarks.ledger import open_ledger
redis, ledger = Redis.from_url(os.environ["REDIS_URL"], protocol=2, socket_timeout=None), open_ledger()
while True:
    id = redis.blmove("{ACTIVE}", "{PROCESSING}", 0, "RIGHT", "LEFT")
    number = json.loads(redis.hget("{JOB}" + id.decode(), "payload"))["n"]
    ledger.stamp(number, time.time_ns())
"""


@contextmanager
def bare_worker() -> Iterator[None]:
    """Run a loop of BLMOVE and HGET."""
    with subprocess.Popen([sys.executable, "-c", BARE_WORKER], cwd=ROOT) as process:
        yield
        process.kill()


def push_bare(rig: Rig, number: int) -> None:
    """Push as the bare loop expects it, in one round trip."""
    with rig.redis.pipeline(transaction=False) as pipeline:
        pipeline.hset(f"{JOB}{number}", "payload", json.dumps({"n": number}))
        pipeline.lpush(ACTIVE, number)
        pipeline.execute()


def waits(
    rig: Rig, push: Callable[[int], object], count: int, pause: Callable[[], float]
) -> list[float]:
    """Push one job after the other; return the ms until each began."""
    push(0)
    rig.wait_for(1, 1)
    time.sleep(0.5)  # the worker is idle again
    pushed, due = [], time.perf_counter()
    for number in range(1, count):
        due += pause()
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        pushed.append(time.time_ns())
        push(number)
    rig.wait_for(count, count)
    rig.check_each_ran_once(count)
    starts = rig.ledger.starts(count)[1:]
    return [(start - at) / 1e6 for start, at in zip(starts, pushed, strict=True)]


def show(name: str, milliseconds: list[float]) -> None:
    """Print a line of percentiles."""
    cuts = statistics.quantiles(milliseconds, n=100)
    print(
        f"  {name:<32} p50 {cuts[49]:6.2f} ms   p90 {cuts[89]:6.2f} ms"
        f"   p99 {cuts[98]:6.2f} ms   longest {max(milliseconds):6.2f} ms"
    )


def main() -> None:
    """Print percentiles, in turn, `--runs` times."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--jobs", type=int, default=400)
    chosen = options.parse_args()

    def seldom() -> float:
        return random.uniform(0.01, 0.03)

    with rig() as bench:
        from django_jobs import push_job

        def push(number: int) -> object:
            return push_job("stamp", {"n": number})

        for _ in range(chosen.runs):
            bench.clear()
            with bare_worker():
                show(
                    "idle: BLMOVE + HGET",
                    waits(bench, lambda n: push_bare(bench, n), chosen.jobs, seldom),
                )
            bench.clear()
            with bench.workers("--queues", "default"):
                show("idle: push_job, runjobs", waits(bench, push, chosen.jobs, seldom))
            bench.clear()
            with bench.workers("--queues", "default"):
                show("3,000 jobs/s", waits(bench, push, 15_000, lambda: 1 / 3000))


if __name__ == "__main__":
    main()
