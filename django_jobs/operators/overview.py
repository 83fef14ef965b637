"""The words that show queues and workers: stats, workers."""

import time
from argparse import Namespace
from dataclasses import asdict

from django_jobs.monitor.counts import all_stats, oldest_waits, server_time
from django_jobs.monitor.limits import in_force
from django_jobs.monitor.workers import WorkerRow, all_workers
from django_jobs.operators.choosing import queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import age, span, table

COUNTS = ("active", "processing", "scheduled", "failed")


def stats(terminal: Terminal, options: Namespace) -> None:
    """Show how many jobs each queue has; with `watch` again and again."""
    try:
        _stats_now(terminal, options)
        while options.watch:
            time.sleep(options.watch)
            terminal.clear()
            _stats_now(terminal, options)
    except KeyboardInterrupt:
        return


def workers(terminal: Terminal, options: Namespace) -> None:
    """Show the workers of `runjobs`."""
    queues = queues_of(options.queue)
    rows, now = all_workers(queues), server_time(queues[0])
    if terminal.as_json:
        terminal.give([_worker_value(row) for row in rows])
    elif not rows:
        terminal.say("No worker runs. Start some with `manage.py runjobs`.")
    else:
        head = (
            "worker",
            "state",
            "busy",
            "memory",
            "up",
            "supervisor",
            "version",
            "release",
            "queues",
            "id",
        )
        lines = [_worker_line(row, now) for row in rows]
        terminal.say(table(head, lines, terminal.width, whole=("worker", "id")))


def _stats_now(terminal: Terminal, options: Namespace) -> None:
    queues = queues_of(options.queue)
    found, waits, limits = all_stats(queues), oldest_waits(queues), in_force(queues)
    rows = {
        name: {count: getattr(stats, count) for count in COUNTS}
        | {"paused": stats.paused, "oldest_wait": round(waits[name], 3)}
        | asdict(limits[name].limits)
        for name, stats in found.items()
    }
    if terminal.as_json:
        terminal.give(rows)
        return
    wide = max(len("queue"), *map(len, rows))
    terminal.say(f"{'queue':<{wide}}" + "".join(f"{name:>12}" for name in (*COUNTS, "oldest")))
    for name, row in rows.items():
        numbers = "".join(f"{row[count]:>12,}" for count in COUNTS)
        oldest = span(row["oldest_wait"]) if row["active"] else "-"
        more = ["paused"] if row["paused"] else []
        more += [limits[name].limits.words] if limits[name].limits.words else []
        terminal.say("  ".join([f"{name:<{wide}}{numbers}{oldest:>12}", *more]))


def _worker_line(row: WorkerRow, now: float) -> tuple[str, ...]:
    return (
        f"{row.host}:{row.pid}",
        row.state if row.silent <= 0 else f"lost {span(row.silent)} ago",
        f"{row.busy} of {row.concurrency}",
        f"{row.memory} MB",
        age(row.started, now),
        str(row.supervisor),
        row.version,
        row.release,
        ",".join(row.queues),
        row.id,
    )


def _worker_value(row: WorkerRow) -> dict[str, object]:
    started = row.started.isoformat() if row.started else None
    return {**asdict(row), "started": started, "silent": round(max(row.silent, 0.0), 3)}
