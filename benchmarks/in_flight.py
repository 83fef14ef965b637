"""Whether settling is slower with many jobs in flight in one queue: 100 and 20,000."""

import itertools
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable

from benchmarks.rig import Rig, interleave, rig, table

BATCH, BATCHES = 100, 50


def settle_among(rig: Rig, in_flight: int) -> Callable[[], float]:
    """Return what measures the µs a job that settling a batch takes, while others are held."""
    from django_jobs import get_queue, push_jobs
    from django_jobs.claims import beat_call, claim_call, read_claim
    from django_jobs.line import run

    queue = get_queue()

    numbers = itertools.count(1)

    def claim(worker: str, slots: int) -> list[tuple[str, int]]:
        run(queue.client, beat_call([queue], 60, [worker]))
        call = claim_call([queue], worker, next(numbers), 60, slots=slots)
        return [(job.id, job.token) for job in read_claim(run(queue.client, call), [queue]).jobs]

    def measure() -> float:
        rig.clear()
        push_jobs("noop", [{}] * (in_flight + BATCH * BATCHES))
        for first in range(0, in_flight, 1000):
            claim(f"other-{first}", min(1000, in_flight))
        times = []
        for _ in range(BATCHES):
            call = queue.settle_succeeded("me", claim("me", BATCH))
            began = time.perf_counter()
            run(queue.client, call)
            times.append(time.perf_counter() - began)
        assert rig.redis.hlen("jobs:default:processing") == in_flight
        return statistics.median(times) / BATCH * 1e6

    return measure


def main() -> None:
    """Print one table."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    with rig() as bench:
        ways = {f"{count:,} in flight": settle_among(bench, count) for count in (100, 20_000)}
        table("Settle", interleave(ways, chosen.runs), "µs a job", base="100 in flight")


if __name__ == "__main__":
    main()
