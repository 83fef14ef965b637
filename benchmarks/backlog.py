"""Whether a long queue is slower: the same number of jobs drained from 10,000 and from 1,000,000."""

from argparse import ArgumentParser
from collections.abc import Callable

from benchmarks.rig import Rig, interleave, rig, table

MEASURED = 10_000


def drain_from(rig: Rig, backlog: int) -> Callable[[], float]:
    """Return what measures the rate at which the first jobs of a backlog are drained."""
    from django_jobs import push_jobs

    def measure() -> float:
        rig.clear()
        for first in range(0, backlog, 10_000):
            push_jobs("noop", [{"n": n} for n in range(first, first + 10_000)])
        with rig.workers("--queues", "default"):
            rig.wait_for(MEASURED // 10, MEASURED)
            began, seen = rig.wait_for(1, MEASURED), rig.ran(MEASURED)
            ended = rig.wait_for(MEASURED, MEASURED)
        return (MEASURED - seen) / (ended - began)

    return measure


def main() -> None:
    """Print one table."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    with rig() as bench:
        ways = {f"{size:,} waiting": drain_from(bench, size) for size in (10_000, 1_000_000)}
        table("Backlog", interleave(ways, chosen.runs), "jobs/s", base="10,000 waiting")


if __name__ == "__main__":
    main()
