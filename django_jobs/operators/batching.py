"""The words that show jobs that belong together: batches, batch."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from django_jobs.monitor.batches import SHOWN, Batch, not_done, read
from django_jobs.monitor.counts import server_time
from django_jobs.operators.choosing import queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import age, count, moment, plain, table
from django_jobs.options import NewJob
from django_jobs.queue import Queue

COUNTS = ("waiting", "succeeded", "failed", "cancelled")


def batches(terminal: Terminal, options: Namespace) -> None:
    """Show the batches that are not done, the oldest first."""
    queues = queues_of(options.queue)
    every = [not_done(queue) for queue in queues]
    found = sorted((batch for some in every for batch in some), key=_began)
    if terminal.as_json:
        terminal.give([_value(batch) for batch in found])
    elif not found:
        terminal.say("There are no batches that are not done.")
    else:
        head = ("batch", "queue", "age", "jobs", *COUNTS)
        now = server_time(queues[0])
        lines = [_line(batch, now) for batch in found]
        terminal.say(table(head, lines, terminal.width, whole=("batch", "age", "jobs", *COUNTS)))
    if max(map(len, every)) == SHOWN:
        terminal.note(f"Of each queue only the oldest {SHOWN} are shown.")


def batch(terminal: Terminal, options: Namespace) -> None:
    """Show one batch; close it first if that is asked for."""
    queue, found = _locate(options.id, queues_of(options.queue))
    if options.close:
        found = _close(queue, found)
    text = "\n".join(_lines(found, server_time(queue)))
    terminal.answer(_value(found), text)


def standing(batch: Batch) -> str:
    """Return how far a batch is."""
    if batch.total is None:
        return "open, not all of it was pushed"
    return "done" if batch.done else f"{batch.ended:,} of {count(batch.total, 'job')} ended"


def _began(batch: Batch) -> float:
    return batch.created_at.timestamp() if batch.created_at else 0.0


def _locate(given: str, queues: list[Queue]) -> tuple[Queue, Batch]:
    """Return the batch that is given as `id` or `queue:id`. Raises CommandError."""
    name, _, rest = given.rpartition(":")
    for queue in queues:
        if name in ("", queue.name) and (found := read(queue, [rest])):
            return queue, found[0]
    raise CommandError(
        f"There is no batch {given!r}. One that is done is forgotten after an hour, or after a"
        " week if some of its jobs have failed."
    )


def _close(queue: Queue, batch: Batch) -> Batch:
    """Let a batch have the jobs that it has. Raises CommandError if it is not open."""
    jobs = batch.waiting + batch.ended
    seal = NewJob(batch.id, "(batch)", "null", seal=("seal", jobs))
    if queue.add([seal]) != [1]:
        raise CommandError(f"Batch {batch.id} of queue {queue.name} is not open.")
    return read(queue, [batch.id])[0]


def _lines(batch: Batch, now: float) -> Iterator[str]:
    yield f"Batch {plain(batch.id)} of queue {batch.queue}: {standing(batch)}"
    yield f"  {'pushed':<11}{moment(batch.created_at, now)}"
    for name in COUNTS:
        yield f"  {name:<11}{getattr(batch, name):,}"


def _line(batch: Batch, now: float) -> list[str]:
    total = "open" if batch.total is None else f"{batch.total:,}"
    counts = [f"{getattr(batch, name):,}" for name in COUNTS]
    return [batch.id, batch.queue, age(batch.created_at, now), total, *counts]


def _value(batch: Batch) -> dict[str, Any]:
    created = batch.created_at.isoformat() if batch.created_at else None
    return {**asdict(batch), "created_at": created, "done": batch.done}
