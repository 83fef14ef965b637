"""`push_batch`: jobs that belong together, and jobs that follow when all of them have ended."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from asgiref.sync import sync_to_async

from django_jobs.connection import get_queue
from django_jobs.exceptions import OptionError
from django_jobs.handlers import Handler
from django_jobs.job import new_id
from django_jobs.monitor.batches import Batch, read
from django_jobs.options import JobOptions, NewJob, new_job
from django_jobs.push import PushOptions, refuse_event_loop, resolve, send
from django_jobs.queue import Queue

Named = str | Handler
Entry = Named | tuple[Named, Any] | tuple[Named, Any, JobOptions]

OF_ONE = {"unique", "unique_until", "replace"}  # options that no job of a batch takes
OF_TIME = {"delay", "run_at", "expires"}  # those that no job takes which follows it


def push_batch(
    jobs: Iterable[Entry],
    *,
    on_success: Entry | None = None,
    on_complete: Entry | None = None,
    on_failure: Entry | None = None,
    queue: str | None = None,
    using: str | None = None,
    check: bool = True,
) -> str:
    """Push jobs that belong together, and return the id of the batch.

    Each is a handler, or (handler, payload), or (handler, payload, options). When all have
    ended, each callback is pushed once: `on_complete` always, `on_failure` if one has failed,
    `on_success` if none has (or all that had were retried). Its payload has the counts, and
    its own payload as `payload`. All are in one queue. Raises what push_job raises.
    """
    refuse_event_loop()
    batch = new_id()
    entries = [_Entry(entry, queue, OF_ONE, check=check) for entry in jobs]
    callbacks = {"on_success": on_success, "on_complete": on_complete, "on_failure": on_failure}
    follow = {
        name: _Entry(entry, queue, {*OF_ONE, *OF_TIME}, check=check)
        for name, entry in callbacks.items()
        if entry is not None
    }
    place = _one_queue([*entries, *follow.values()], queue)
    members = [replace(entry.job(place), batch=batch) for entry in entries]
    after = [
        replace(entry.job(place), batch=batch, callback=name) for name, entry in follow.items()
    ]
    ids = [value for job in after for value in (job.callback, job.id)]
    seal = NewJob(batch, "(batch)", "null", seal=("seal", len(members), *ids))
    send(place, [*members, *after, seal], using, entries[0].name if entries else "(batch)")
    return batch


async def apush_batch(jobs: Iterable[Entry], **options: Any) -> str:
    """Push a batch from async code; see push_batch."""
    return await sync_to_async(push_batch, thread_sensitive=True)(jobs, **options)


def get_batch(id: str, queue: str = "default") -> Batch | None:
    """Return how far a batch is; None if nobody knows it (any more). Raises RedisError.

    It is remembered for an hour after its end, for a week if some of its jobs have failed.
    """
    found = read(get_queue(queue), [id])
    return found[0] if found else None


class _Entry:
    """One job of a batch, as it was given."""

    def __init__(self, entry: Entry, queue: str | None, refused: set[str], *, check: bool) -> None:
        handler, *more = entry if isinstance(entry, tuple) and entry else (entry,)
        if len(more) > 2:
            raise OptionError(
                f"{entry!r} is no job of a batch: give a handler, (handler, payload), or"
                " (handler, payload, options)."
            )
        self.payload = more[0] if more else None
        self.options = cast(JobOptions, more[1] if len(more) == 2 else {})
        where: PushOptions = {"check": check}
        if queue is not None:
            where["queue"] = queue
        self.name, self.queue, self.attempts = resolve(handler, where)
        if taken := sorted(refused & set(self.options)):
            what = "of a batch" if taken[0] in OF_ONE else "that follows a batch"
            raise OptionError(f"Handler {self.name!r}: a job {what} takes no {taken[0]}.")

    def job(self, queue: Queue) -> NewJob:
        return new_job(
            self.payload,
            handler=self.name,
            queue=queue.name,
            limit=queue.max_payload,
            max_attempts=self.attempts,
            options=self.options,
        )


def _one_queue(entries: Sequence[_Entry], queue: str | None) -> Queue:
    """Return the queue of all; a batch counts in one place."""
    first = entries[0] if entries else None
    for entry in entries:
        if first is not None and entry.queue.name != first.queue.name:
            raise OptionError(
                f"A batch lives in one queue: handler {first.name!r} goes to {first.queue.name!r},"
                f" handler {entry.name!r} to {entry.queue.name!r}. Name one for all: queue=..."
            )
    return first.queue if first else get_queue(queue or "default")
