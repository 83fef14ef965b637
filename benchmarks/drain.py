"""How fast queues drain, beside bare redis-py loops on the same Redis in the same run."""

import time
from argparse import ArgumentParser
from collections.abc import Callable

from benchmarks import bare
from benchmarks.rig import Rig, interleave, rig, table


def bare_loop(rig: Rig, loop: Callable[..., None], count: int) -> Callable[[], float]:
    """Return what measures a bare loop, in jobs per second."""

    def measure() -> float:
        rig.clear()
        bare.fill(rig.redis, count)
        began = time.perf_counter()
        loop(rig.redis, rig.ledger)
        took = time.perf_counter() - began
        rig.check_each_ran_once(count)
        return count / took

    return measure


def drain(
    rig: Rig, handler: str, count: int, *words: str, share: float = 1.0
) -> Callable[[], float]:
    """Return what measures `runjobs` on jobs of a handler; see `drained`."""
    from django_jobs import push_jobs

    def fill(count: int) -> None:
        push_jobs(handler, [{"n": number} for number in range(count)])

    return drained(rig, fill, count, *words, share=share)


def drained(
    rig: Rig, fill: Callable[[int], None], count: int, *words: str, share: float = 1.0
) -> Callable[[], float]:
    """Return what measures `runjobs`: jobs per second from the first run to `share` of all."""

    def measure() -> float:
        rig.clear()
        fill(count)
        with rig.workers("--queues", "default", *words):
            began = rig.wait_for(1, count)
            seen = rig.ran(count)
            ended = rig.wait_for(round(count * share), count)
            rig.wait_for(count, count)
        rig.check_each_ran_once(count)
        assert not rig.redis.exists("jobs:default:processing", "jobs:default:active")
        return (count * share - seen) / (ended - began)

    return measure


def main() -> None:
    """Print three tables."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--jobs", type=int, default=100_000)
    chosen = options.parse_args()
    with rig() as bench:
        ways = {
            "bare commands, 4 round trips a job": bare_loop(bench, bare.drain_by_commands, 10_000),
            "bare EVALSHA, 1 round trip a job": bare_loop(bench, bare.drain_by_script, 30_000),
            "runjobs, 1 process": drain(bench, "noop", chosen.jobs),
            "runjobs, 2 processes": drain(bench, "noop", chosen.jobs, "--processes", "2"),
        }
        found = interleave(ways, chosen.runs)
        table("No-op jobs", found, "jobs/s", base="bare EVALSHA, 1 round trip a job")
        ways = {
            "runjobs, 1 process": drain(bench, "spin", 20_000),
            "runjobs, 2 processes": drain(bench, "spin", 20_000, "--processes", "2"),
        }
        table("Jobs of 100 µs", interleave(ways, chosen.runs), "jobs/s", base="runjobs, 1 process")
        words = ("--concurrency", "50")
        ways = {
            "first 98 % (ideal: 5,000)": drain(bench, "nap", 20_000, *words, share=0.98),
            "all": drain(bench, "nap", 20_000, *words),
        }
        table("Jobs that wait 10 ms, concurrency 50", interleave(ways, chosen.runs), "jobs/s")


if __name__ == "__main__":
    main()
