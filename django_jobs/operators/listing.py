"""The word that shows many jobs: list."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice

from django.core.management.base import CommandError

from django_jobs.conf import get_settings
from django_jobs.monitor import pages
from django_jobs.monitor.counts import server_time
from django_jobs.monitor.live import running_page, waiting_page
from django_jobs.monitor.pages import Page, Position, Row, Source
from django_jobs.monitor.shown import Reader
from django_jobs.operators.choosing import described, failed_sources, queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import age, table
from django_jobs.queue import Queue

TIMES = {
    "failed": "failed",
    "scheduled": "due",
    "active": "pushed",
    "processing": "began",
    "succeeded": "expires",
}
FIELDS = {
    "failed": "failed_at",
    "scheduled": "due_at",
    "active": "enqueued_at",
    "processing": "started_at",
    "succeeded": "expires_at",
}
READ = 1000  # jobs at once
MOST = 1_000_000


def list_jobs(terminal: Terminal, options: Namespace) -> None:
    """Show the jobs in one state: the newest failures, else what comes next."""
    state = options.state
    if state != "failed" and {options.error, options.since, options.older_than} != {None}:
        raise CommandError(
            f"--error, --since and --older-than choose among failed jobs, not {state} ones."
        )
    queues = queues_of(options.queue)
    found = list(islice(_rows(terminal, options, queues), options.limit + 1))
    shown = found[: options.limit]
    if terminal.as_json:
        terminal.give([_value(row, state) for row in shown])
    elif not shown:
        terminal.say(f"There are {described(0, f'{state} job', options)}.")
    else:
        terminal.say(_text(shown, state, server_time(queues[0]), terminal.width))
    if len(found) > len(shown):
        terminal.note(f"There are more: --limit {10 * options.limit} shows up to that many.")


def _rows(terminal: Terminal, options: Namespace, queues: list[Queue]) -> Iterator[Row]:
    if options.state == "failed":
        sources = failed_sources(terminal, queues, options)
        return _follow(_pages_of(sources, min(options.limit + 1, READ), newest_first=True))
    size = READ if options.handler else min(options.limit + 1, READ)
    if options.state == "scheduled":
        found = _follow(_pages_of(pages.scheduled(queues), size, newest_first=False))
    elif options.state == "succeeded":
        kept = pages.succeeded(queues, server_time(queues[0]))
        found = _follow(_pages_of(kept, size, newest_first=True))
    elif options.state == "active":
        found = _follow(lambda after: waiting_page(queues, int(after or 0), size))
    else:
        found = iter(running_page(queues, MOST).rows)
    return (row for row in found if options.handler in (None, row.handler))


def _pages_of(sources: list[Source], size: int, *, newest_first: bool) -> Callable[[str], Page]:
    reader = Reader(get_settings().redactor)
    return lambda after: pages.page(
        sources, reader, after=Position.parse(after), size=size, newest_first=newest_first
    )


def _follow(page_after: Callable[[str], Page]) -> Iterator[Row]:
    """Yield the rows of all pages."""
    page = page_after("")
    yield from page.rows
    while page.after:
        page = page_after(page.after)
        yield from page.rows


def _text(rows: list[Row], state: str, now: float, width: int | None) -> str:
    columns: dict[str, Callable[[Row], str]] = {
        "job": lambda row: row.object_id,
        TIMES[state]: lambda row: age(row.at, now),
        "handler": lambda row: row.handler,
    }
    if state == "processing":
        columns["worker"] = lambda row: row.worker
    elif state in ("failed", "scheduled"):
        columns["error"] = _error
    lines = [[cell(row) for cell in columns.values()] for row in rows]
    return table(list(columns), lines, width, whole=("job", TIMES[state]))


def _error(row: Row) -> str:
    return ": ".join(filter(None, (row.exception.rpartition(".")[2], row.message)))


def _value(row: Row, state: str) -> dict[str, object]:
    value = asdict(row)
    del value["at"]
    return {**value, "state": state, FIELDS[state]: row.at.isoformat() if row.at else None}
