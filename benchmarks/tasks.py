"""Django's tasks beside handlers: how fast they are enqueued, and drain (Django 6.0 or newer)."""

import os
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from benchmarks.drain import drained
from benchmarks.push import rate
from benchmarks.rig import Rig, interleave, rig, table


def logging_at(level: str, measure: Callable[[], float]) -> Callable[[], float]:
    """Return what measures while workers log tasks from this level on; Django's default is INFO."""

    def measured() -> float:
        os.environ["BENCH_LEVEL"] = level
        return measure()

    return measured


def enqueuing(bench: Rig, jobs: int, runs: int) -> None:
    """Print how fast tasks are enqueued, in many short turns: the ratio is what counts."""
    from benchmarks.marks import mark
    from django_jobs import push_job

    def push(count: int) -> None:
        for _ in range(count):
            push_job("noop", {"n": 1})

    def enqueue(count: int) -> None:
        for _ in range(count):
            mark.enqueue(1)

    def many(count: int) -> None:
        mark.enqueue_many([[1]] * count)

    ways = {
        "push_job": rate(bench, jobs, push),
        "enqueue": rate(bench, jobs, enqueue),
        "enqueue_many, all in one call": rate(bench, 5 * jobs, many),
    }
    table("Enqueue", interleave(ways, runs, show=lambda _: None), "tasks/s", base="push_job")


def draining(bench: Rig, jobs: int, runs: int) -> None:
    """Print how fast no-op tasks drain, in one process."""
    from benchmarks import marks
    from django_jobs import push_jobs

    def handlers(count: int) -> None:
        push_jobs("noop", [{"n": number} for number in range(count)])

    def filled(task: Any, level: str = "WARNING") -> Callable[[], float]:
        def fill(count: int) -> None:
            task.enqueue_many([[number] for number in range(count)])

        return logging_at(level, drained(bench, fill, jobs))

    ways = {
        "handlers": drained(bench, handlers, jobs),
        "tasks, results off": filled(marks.mark),
        "tasks, results kept": filled(marks.kept),
        "tasks, results off, logged at INFO": filled(marks.mark, "INFO"),
        "async tasks, results off": filled(marks.mark_async),
    }
    table("No-op jobs", interleave(ways, runs), "jobs/s", base="handlers")


def main() -> None:
    """Print two tables."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--jobs", type=int, default=50_000)
    chosen = options.parse_args()
    with rig("benchmarks.task_settings") as bench:
        enqueuing(bench, 1_000, 20 * chosen.runs)
        draining(bench, chosen.jobs, chosen.runs)


if __name__ == "__main__":
    main()
