"""The words that look for what is wrong: doctor, check, check-deploy."""

import logging
from argparse import Namespace

from django.core.checks import run_checks
from django.core.management.base import CommandError

from django_jobs import invariants
from django_jobs.exceptions import UnknownHandler
from django_jobs.handlers import get_handler
from django_jobs.monitor.needed import STATES, handlers_needed
from django_jobs.operators.choosing import queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import count, plain
from django_jobs.schedules import project

LOOK = 100_000  # jobs of a queue in each state


def doctor(terminal: Terminal, options: Namespace) -> None:
    """Look for what breaks the promises: settings, code, Redis."""
    every = run_checks(tags=["jobs"], include_deployment_checks=True)
    messages = [message for message in every if not message.is_silenced()]
    found = [
        {
            "id": message.id,
            "level": logging.getLevelName(message.level).lower(),
            "message": message.msg,
            "hint": message.hint or "",
        }
        for message in messages
    ]
    if terminal.as_json:
        terminal.give(found)
    for row in [] if terminal.as_json else found:
        terminal.say(f"{row['level']}: {row['message']} ({row['id']})")
        if row["hint"]:
            terminal.say(f"  {row['hint']}")
    if any(message.is_serious() for message in messages):
        raise CommandError("Something is wrong; see above.")
    if not found and not terminal.as_json:
        terminal.say("All is well.")


def check(terminal: Terminal, options: Namespace) -> None:
    """Look whether what must hold of each queue in Redis holds. Raises CommandError if not."""
    found: dict[str, list[str]] = {}
    for queue in queues_of(options.queue):
        found[queue.name] = invariants.check(queue)
        for sentence in [] if terminal.as_json else found[queue.name]:
            terminal.say(f"{queue.name}: {plain(sentence)}")
    if terminal.as_json:
        terminal.give(found)
    if wrong := sum(map(len, found.values())):
        verb = "rule does not hold" if wrong == 1 else "rules do not hold"
        raise CommandError(f"{wrong:,} {verb}. Please report it, unless keys were changed by hand.")
    if not terminal.as_json:
        terminal.say(f"All is well in {count(len(found), 'queue')}.")


def check_deploy(terminal: Terminal, options: Namespace) -> None:
    """Look whether this code has the handlers of what is in Redis. Raises CommandError if not."""
    unknown: list[dict[str, str | int]] = []
    for queue in queues_of(options.queue):
        needed, more = handlers_needed(queue, LOOK)
        others = [one for one in queue.schedules() if one.project != project()]  # ours are replaced
        needed.update((schedule.handler, "by schedule") for schedule in others)
        for state in more:
            terminal.note(f"Of the {state} jobs of {queue.name} {LOOK:,} were looked at, not all.")
        for name in sorted({name for name, _ in needed if not _is_known(name)}):
            counts = {state: n for state in STATES if (n := needed[name, state])}
            unknown.append({"queue": queue.name, "handler": name, **counts})
            words = ", ".join(f"{n:,} {state}" for state, n in counts.items())
            if not terminal.as_json:
                terminal.say(f"{queue.name}: {plain(name)}: {words}")
    if terminal.as_json:
        terminal.give(unknown)
    if unknown:
        raise CommandError(
            "This code has no handler for these jobs. Is one called otherwise now? Name what it was"
            " called in its `aliases`. Else let workers of the old code run them, or cancel and"
            " discard them."
        )
    if not terminal.as_json:
        terminal.say("This code has a handler for every job.")


def _is_known(name: str) -> bool:
    try:
        get_handler(name)
    except UnknownHandler:
        return False
    return True
