"""What the outbox costs a transaction of PostgreSQL with fsync on, and how fast a relay is."""

import os
import socket
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from benchmarks.rig import Rig, interleave, rig, table
from tests.postgres import start_postgres

ROWS = 50_000
numbers = count()


@contextmanager
def postgres() -> Iterator[None]:
    """Run a private PostgreSQL that waits for the disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = start_postgres(port, durable=True)
    os.environ.update(PGHOST="127.0.0.1", PGPORT=str(port), PGUSER="postgres")
    try:
        yield
    finally:
        stop()


def transactions(
    rig: Rig, carrier: Any, jobs: int, push: Callable[[], object], times: int
) -> Callable[[], float]:
    """Return what measures transactions that write a row and push, in ms each."""
    from django.contrib.auth.models import Group
    from django.db import transaction

    from django_jobs import push as pushing

    def one() -> None:
        with transaction.atomic():
            Group.objects.create(name=str(next(numbers)))
            push()

    def measure() -> float:
        rig.clear()
        pushing.carrier = carrier
        one()  # connects, and announces the queue
        began = time.perf_counter()
        for _ in range(times):
            one()
        took = time.perf_counter() - began
        assert rig.redis.llen("jobs:default:active") == (times + 1) * jobs
        return took / times * 1000

    return measure


def relaying(rig: Rig) -> Callable[[], float]:
    """Return what measures a relay, in rows per second."""
    from django_jobs.job import new_id
    from django_jobs.options import NewJob
    from django_jobs.outbox import rows
    from django_jobs.outbox.relay import relay_all

    def measure() -> float:
        rig.clear()
        rows.save("default", "default", [NewJob(new_id(), "noop", '{"n":1}') for _ in range(ROWS)])
        began = time.perf_counter()
        assert relay_all() == ROWS
        took = time.perf_counter() - began
        assert rig.redis.llen("jobs:default:active") == ROWS
        return ROWS / took

    return measure


def main() -> None:
    """Print four tables."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=9)
    options.add_argument("--times", type=int, default=200)
    chosen = options.parse_args()
    with postgres(), rig("benchmarks.outbox_settings") as bench:
        from django.core.management import call_command

        from django_jobs import push_job, push_jobs
        from django_jobs.outbox.carrier import OutboxCarrier
        from django_jobs.push import Carrier

        def one_by_one() -> None:
            for n in range(100):
                push_job("noop", {"n": n})

        call_command("migrate", verbosity=0)
        pushes: dict[str, tuple[int, Callable[[], object]]] = {
            "one push_job": (1, lambda: push_job("noop", {"n": 1})),
            "push_jobs of 100": (100, lambda: push_jobs("noop", [{"n": 1}] * 100)),
            "100 push_job": (100, one_by_one),
        }
        for name, (jobs, push) in pushes.items():
            times = max(1, chosen.times // (10 if jobs > 1 else 1))
            ways = {
                way: transactions(bench, carrier, jobs, push, times)
                for way, carrier in {"on_commit": Carrier(), "outbox": OutboxCarrier()}.items()
            }
            found = interleave(ways, chosen.runs)
            table(f"A transaction that writes a row, and {name}", found, "ms", base="on_commit")
        found = interleave({"one relay": relaying(bench)}, chosen.runs)
        table(f"{ROWS:,} rows", found, "rows/s")


if __name__ == "__main__":
    main()
