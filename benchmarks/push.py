"""How fast jobs are pushed, beside a bare EVALSHA of the same script with the same arguments."""

import time
from argparse import ArgumentParser
from collections.abc import Callable

from benchmarks.rig import Rig, interleave, rig, table


def rate(rig: Rig, count: int, push: Callable[[int], object]) -> Callable[[], float]:
    """Return what measures `push(number of jobs)`, in jobs per second."""

    def measure() -> float:
        rig.clear()
        push(1)  # connects, and announces the queue
        began = time.perf_counter()
        push(count)
        took = time.perf_counter() - began
        assert rig.redis.llen("jobs:default:active") == count + 1
        return count / took

    return measure


def main() -> None:
    """Print one table."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--jobs", type=int, default=20_000)
    chosen = options.parse_args()
    with rig() as bench:
        from django_jobs import get_queue, push_job, push_jobs
        from django_jobs.options import NewJob
        from django_jobs.scripts import get_script

        queue = get_queue()
        script = get_script("push")

        def bare(count: int) -> None:
            client = queue.client
            client.script_load(script.text)
            jobs = [NewJob(f"{count}-{n}", "noop", '{"n":1}').arguments() for n in range(count)]
            for job in jobs:
                client.evalsha(script.sha, 2, *queue.keys, *job)

        def one_by_one(count: int) -> None:
            for _ in range(count):
                push_job("noop", {"n": 1})

        def many(count: int) -> None:
            push_jobs("noop", [{"n": 1}] * count)

        ways = {
            "bare EVALSHA of the push script": rate(bench, chosen.jobs, bare),
            "push_job": rate(bench, chosen.jobs, one_by_one),
            "push_jobs, all in one call": rate(bench, 5 * chosen.jobs, many),
        }
        found = interleave(ways, chosen.runs)
        table("Push", found, "jobs/s", base="bare EVALSHA of the push script")


if __name__ == "__main__":
    main()
