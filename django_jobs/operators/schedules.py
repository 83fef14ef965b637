"""The word for schedules: schedules, and to run, pause or resume some."""

import difflib
from argparse import Namespace
from datetime import datetime

from django.core.management.base import CommandError

from django_jobs.connection import get_queue
from django_jobs.monitor.counts import server_time
from django_jobs.monitor.schedules import ScheduleRow, all_schedules
from django_jobs.operators.choosing import queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import age, plain, table

DONE = {
    "run": "pushed a job.",
    "pause": "is paused: it pushes nothing by itself.",
    "resume": "goes on.",
}
NOT_DONE = {
    "run": "is gone.",
    "pause": "was paused already.",
    "resume": "was not paused.",
}
HEAD = ("schedule", "when", "next", "last", "outcome", "handler", "queue")


def schedules(terminal: Terminal, options: Namespace) -> None:
    """Show the schedules, or do something to some of them."""
    queues = queues_of(options.queue)
    rows = all_schedules(queues)
    if options.what != "list":
        _act(terminal, options.what, [_find(name, rows) for name in options.names])
    elif options.names:
        raise CommandError("Say run, pause or resume before the names.")
    elif terminal.as_json:
        terminal.give([_value(row) for row in rows])
    elif not rows:
        terminal.say('There are no schedules. @handler("shop.report", cron="0 3 * * *") makes one.')
    else:
        now = server_time(queues[0])
        terminal.say(
            table(HEAD, [_line(row, now) for row in rows], terminal.width, whole=("schedule",))
        )


def _act(terminal: Terminal, what: str, rows: list[ScheduleRow]) -> None:
    if not rows:
        raise CommandError(f"Say which to {what}. `jobs schedules` lists their names.")
    done: dict[str, object] = {}
    for row in rows:
        queue = get_queue(row.schedule.queue)
        done[row.id] = getattr(queue, f"{what}_schedule")(row.schedule.name)
    lines = [f"{plain(id)} {(DONE if did else NOT_DONE)[what]}" for id, did in done.items()]
    terminal.answer({what: done}, "\n".join(lines))


def _find(name: str, rows: list[ScheduleRow]) -> ScheduleRow:
    found = [row for row in rows if name in (row.id, row.schedule.name)]
    if len(found) > 1:
        raise CommandError(f"Say which: {', '.join(plain(row.id) for row in found)}")
    if not found:
        near = difflib.get_close_matches(name, [row.schedule.name for row in rows], n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`jobs schedules` lists them."
        raise CommandError(f"No schedule is called {name!r}. {hint}")
    return found[0]


def _line(row: ScheduleRow, now: float) -> tuple[str, ...]:
    schedule, last = row.schedule, row.runs[0] if row.runs else None
    due = "paused" if schedule.paused else age(schedule.next_at, now)
    return (
        schedule.name,
        str(schedule.rhythm),
        f"overdue {due}" if schedule.overdue else due,
        age(last.at, now) if last else "",
        last.state if last else "",
        schedule.handler,
        schedule.queue,
    )


def _value(row: ScheduleRow) -> dict[str, object]:
    schedule = row.schedule
    return {
        "name": schedule.name,
        "queue": schedule.queue,
        "handler": schedule.handler,
        "when": schedule.rhythm.expression,
        "timezone": schedule.rhythm.timezone,
        "missed": schedule.missed,
        "paused": schedule.paused,
        "overdue": schedule.overdue,
        "next_at": _time(schedule.next_at),
        "runs": [{"at": _time(run.at), "state": run.state, "job": run.job} for run in row.runs],
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
