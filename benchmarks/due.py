"""Ten thousand jobs due in the same second: when they start, and that none is early."""

import time
from argparse import ArgumentParser
from datetime import UTC, datetime

from benchmarks.rig import rig

JOBS = 10_000


def main() -> None:
    """Print one line a run."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    with rig() as bench:
        from django_jobs import push_jobs

        for _ in range(chosen.runs):
            bench.clear()
            due = int(time.time()) + 4  # Redis' clock is this machine's
            moment = datetime.fromtimestamp(due, UTC)
            push_jobs("stamp", [{"n": number} for number in range(JOBS)], run_at=moment)
            with bench.workers("--queues", "default"):
                bench.wait_for(JOBS, JOBS)
            bench.check_each_ran_once(JOBS)
            starts = bench.ledger.starts(JOBS)
            first, last = min(starts) / 1e9 - due, max(starts) / 1e9 - due
            assert first >= 0, f"a job started {-first} s early"
            print(
                f"{JOBS:,} due at once: the first after {first:.3f} s, the last after {last:.3f} s"
            )


if __name__ == "__main__":
    main()
