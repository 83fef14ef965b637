"""Which queues and jobs a command means: names, ids and filters."""

import difflib
import math
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from django.core.management.base import CommandError

from django_jobs import keys
from django_jobs.connection import get_queue, queue_names
from django_jobs.monitor import pages as monitor_pages
from django_jobs.monitor.counts import server_time
from django_jobs.monitor.groups import Group, failure_groups
from django_jobs.monitor.pages import Source
from django_jobs.monitor.reading import ask, text
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import count, plain, span
from django_jobs.queue import Queue
from django_jobs.scanning import list_pages, pages

WAITING = ("scheduled", "active")


def queues_of(names: Sequence[str] | None) -> list[Queue]:
    """Return the queues of these names, else all. Raises CommandError for an unknown one."""
    known = queue_names()
    for name in names or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "`jobs stats` lists them."
            raise CommandError(f"No queue is called {name!r}. {hint}")
    return [get_queue(name) for name in dict.fromkeys(names or known)]


def locate(given: str, queues: Sequence[Queue]) -> tuple[Queue, str]:
    """Return the queue of a job that is given as `id` or `queue:id`, and its id.

    Raises CommandError if there is no such job, or if there are several.
    """
    name, colon, rest = given.partition(":")
    own = [queue for queue in queues if colon and queue.name == name]
    id = rest if own else given
    key = id.encode("utf-8", "surrogateescape")
    found = [
        queue
        for queue in own or queues
        if ask(queue, [("EXISTS", keys.job(queue.root, "").encode() + key)])[0]
    ]
    where = f"queue {own[0].name}" if own else count(len(queues), "queue")
    if not found:
        raise CommandError(
            f"There is no job {id!r} in {where}. A job that succeeds is deleted;"
            " `jobs list` shows those that failed."
        )
    if len(found) > 1:
        ids = ", ".join(f"{queue.name}:{plain(id)}" for queue in found)
        raise CommandError(f"Several queues have a job {id!r}. Say which: {ids}")
    return found[0], id


def failed_sources(terminal: Terminal, queues: Sequence[Queue], options: Namespace) -> list[Source]:
    """Return where the failed jobs that the filters let through stand."""
    if not options.handler and not options.error:
        return [_within(source, options) for source in monitor_pages.failed(queues)]
    groups = failure_groups(queues)
    if mixed := sum(group.count for group in groups if group.name == b"other"):
        terminal.note(
            f"Warning: {count(mixed, 'failed job')} came when there were 1,000 pairs of handler and"
            " error already, and cannot be found by these."
        )
    chosen = [group for group in groups if _matches(group, options)]
    return [_within(source, options) for source in monitor_pages.failed_of(chosen)]


def waiting_ids(
    queues: Iterable[Queue], states: Iterable[str], handler: str | None
) -> Iterator[tuple[Queue, list[bytes], int]]:
    """Yield the ids of jobs that wait, page by page, and how many were looked at so far.

    Scheduled jobs come first: one that falls due meanwhile is met again among the active,
    so an id may come twice.
    """
    seen = 0
    for queue in queues:
        active = chain[Iterable[bytes]](pages(queue, "priority"), list_pages(queue))
        for state in (state for state in WAITING if state in states):
            for page in pages(queue, "scheduled") if state == "scheduled" else active:
                ids = list(page)
                seen += len(ids)
                yield queue, _waiting(queue, ids, handler), seen


def described(number: int, noun: str, options: Namespace) -> str:
    """Return `12 failed jobs (queue email, handler shop.send, since 2h)`."""
    given = vars(options)
    words = [f"queue {name}" for name in options.queue or ()]
    words += [f"{name} {plain(given[name])}" for name in ("handler", "error") if given.get(name)]
    words += [
        f"{name.replace('_', ' ')} {span(given[name])}"
        for name in ("since", "older_than")
        if given.get(name) is not None
    ]
    return count(number, noun) + (f" ({', '.join(words)})" if words else "")


def _within(source: Source, options: Namespace) -> Source:
    """Return what of a source failed in the time that is meant."""
    if options.since is None and options.older_than is None:
        return source
    now = server_time(source.queue)
    since = -math.inf if options.since is None else now - 1000 * options.since
    until = math.inf if options.older_than is None else now - 1000 * options.older_than
    return replace(source, since=since, until=until)


def _matches(group: Group, options: Namespace) -> bool:
    """Say whether a group is meant; of an error's class the last part of its path is enough."""
    error = options.error
    return options.handler in (None, group.handler) and (
        error is None or group.exception == error or group.exception.endswith(f".{error}")
    )


def _waiting(queue: Queue, ids: list[bytes], handler: str | None) -> list[bytes]:
    """Return those that are jobs of this handler; what was cancelled in the list is none."""
    key = keys.job(queue.root, "").encode()
    replies = ask(queue, [("HMGET", key + id, "state", "handler", "enqueued_at") for id in ids])
    return [
        id
        for id, fields in zip(ids, replies, strict=True)
        if fields
        and any(fields)
        and fields[0] in (None, b"scheduled")
        and handler in (None, text(fields[1]))
    ]
