"""The word for jobs that wait in databases: outbox."""

from argparse import Namespace
from dataclasses import asdict

import django.db
from django.apps import apps
from django.core.management.base import CommandError

from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import count, span, table
from django_jobs.outbox import rows
from django_jobs.outbox.relay import Relay


def outbox(terminal: Terminal, options: Namespace) -> None:
    """Show what waits in the databases, or take it to Redis."""
    if not apps.is_installed("django_jobs.outbox"):
        raise CommandError('There is no outbox: INSTALLED_APPS += ["django_jobs.outbox"].')
    try:
        if options.action == "relay":
            _relay(terminal)
        else:
            _show(terminal)
    except django.db.Error as error:
        raise CommandError(f"The database does not answer: {error}") from error


def _relay(terminal: Terminal) -> None:
    """Raises CommandError if anything stays."""
    moved, problem = 0, ""
    for alias in rows.databases():
        relay = Relay(alias)
        moved += relay.relay()
        problem = problem or relay.problem
    terminal.answer({"relayed": moved}, f"{count(moved, 'job')} relayed.")
    if problem:
        raise CommandError(f"Some stay in the outbox: {problem}")


def _show(terminal: Terminal) -> None:
    found = [row for alias in rows.databases() for row in rows.waiting(alias)]
    if terminal.as_json:
        terminal.give([asdict(row) for row in found])
    elif not found:
        terminal.say("No job waits in the outbox.")
    else:
        head = ("database", "queue", "jobs", "oldest")
        lines = [(w.database, w.queue, f"{w.count:,}", span(w.seconds)) for w in found]
        terminal.say(table(head, lines, terminal.width, whole=("jobs", "oldest")))
