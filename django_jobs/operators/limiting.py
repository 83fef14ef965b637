"""The word for what may run at once and how often: limit."""

from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict, replace

from django.core.management.base import CommandError

from django_jobs.limits import Limits, check_rate
from django_jobs.monitor.limits import InForce, in_force
from django_jobs.operators.choosing import queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import number

NAMES = ("concurrency", "rate")


def concurrency(text: str) -> int | None:
    """Read how many jobs may run at once."""
    return None if text == "none" else number(text)


def rate(text: str) -> str | None:
    """Read how many jobs may begin in a time."""
    if text == "none":
        return None
    try:
        check_rate(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def limit(terminal: Terminal, options: Namespace) -> None:
    """Show the limits of some queues and who set them, changed first if that is asked for."""
    change = {name: vars(options)[name] for name in NAMES if name in options}
    if options.none + options.as_set + bool(change) > 1:
        raise CommandError("Say --concurrency and --rate, or --none, or --as-set.")
    if not options.names and (options.none or options.as_set or change):
        raise CommandError("Say which queues by their names.")
    queues = queues_of(options.names)
    for queue in queues:
        if options.as_set:
            queue.limit_as_set()
        elif options.none or change:
            queue.limit(Limits() if options.none else replace(queue.limits(), **change))
    found = in_force(queues)
    value = {name: {**asdict(one.limits), "set_by": one.by} for name, one in found.items()}
    terminal.answer(value, "\n".join(f"{name}: {words(one)}" for name, one in found.items()))


def words(found: InForce) -> str:
    """Return `20 at once, 50/s, set by an operator; the settings say no limits`."""
    said = found.limits.words or "no limits"
    if found.by == "operator":
        return f"{said}, set by an operator; the settings say {found.settings.words or 'no limits'}"
    return f"{said}, as the settings say" if found.by else said
