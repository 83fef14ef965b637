"""`push_job`: validate at the caller's line, push when the transaction commits."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Unpack, cast

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from django_jobs.caught import Caught
from django_jobs.connection import get_queue
from django_jobs.exceptions import JobsError, OptionError, PushError
from django_jobs.handlers import Handler, get_handler
from django_jobs.options import JobOptions, NewJob, new_job
from django_jobs.queue import Queue
from django_jobs.signals import job_push_failed, job_pushed

log = logging.getLogger("django_jobs")

AWAY = (RedisConnectionError, RedisTimeoutError, OSError)  # what takes long to fail


class PushOptions(JobOptions, total=False):
    """How one job is to be pushed and run."""

    queue: str
    using: str  # the database whose transaction decides
    check: bool  # False: the handler is registered elsewhere


class Commit:
    """What the pushes of one transaction share: a Redis that is away is not asked again."""

    def __init__(self) -> None:
        self.away: dict[Redis, BaseException] = {}


class Push:
    """Jobs of one queue that wait for a commit; as a hook it never raises."""

    def __init__(self, queue: Queue, jobs: Sequence[NewJob], commit: Commit) -> None:
        self.queue = queue
        self.jobs = jobs
        self.commit = commit
        self.done = False

    def __call__(self) -> None:
        """Push the jobs; report each one that could not be pushed."""
        if self.done:  # captureOnCommitCallbacks() calls hooks and leaves them where they are
            return
        self.done = True
        client = self.queue.client
        error = self.commit.away.get(client) or self._push()
        if error is None:
            return
        if isinstance(error.__cause__, AWAY):
            self.commit.away[client] = error
        tell_lost(self.queue, self.jobs, error)

    def _push(self) -> BaseException | None:
        with Caught() as caught:  # Django would drop the hooks behind one that raises
            push_now(self.queue, self.jobs)
        return caught.error


class Carrier:
    """What takes jobs to Redis; the outbox installs its own."""

    def on_commit(
        self, connection: BaseDatabaseWrapper, queue: Queue, jobs: Sequence[NewJob]
    ) -> None:
        """Push the jobs if and when the transaction commits."""
        earlier = last_push(connection)
        connection.on_commit(Push(queue, jobs, earlier.commit if earlier else Commit()))

    def at_once(self, using: str | None, queue: Queue, jobs: Sequence[NewJob]) -> None:
        """Push the jobs now. Raises PushError."""
        push_now(queue, jobs)


carrier = Carrier()


def plainly(queue: Queue, jobs: Sequence[NewJob]) -> AbstractContextManager[Sequence[NewJob]]:
    """Add nothing to a push."""
    return nullcontext(jobs)


# Goes around each push, at the caller's line; telemetry installs its own.
around: Callable[[Queue, Sequence[NewJob]], AbstractContextManager[Sequence[NewJob]]] = plainly


def last_push(connection: BaseDatabaseWrapper) -> Push | None:
    """Return the last push that waits for this connection's commit."""
    hooks = (hook for _, hook, *_ in reversed(connection.run_on_commit))
    return next((hook for hook in hooks if isinstance(hook, Push)), None)


def push_job(handler: str | Handler, payload: Any = None, **options: Unpack[PushOptions]) -> str:
    """Push a job for a handler, and return its id.

    Inside `atomic()` the push happens at commit, and never after a rollback; a Redis
    error is then logged and sent as `job_push_failed`. Outside it happens at once and
    raises PushError. Raises UnknownHandler, PayloadError, and OptionError (a ValueError).
    """
    return _push(handler, [payload], options)[0]


def push_jobs(
    handler: str | Handler, payloads: Iterable[Any], **options: Unpack[PushOptions]
) -> list[str]:
    """Push a job for each payload, many at once, and return their ids; see push_job."""
    if "unique" in options:
        raise OptionError("push_jobs takes no unique key: push each job by push_job.")
    return _push(handler, payloads, options)


def _push(handler: str | Handler, payloads: Iterable[Any], options: PushOptions) -> list[str]:
    refuse_event_loop()
    name, queue, defaults = resolve(handler, options)
    using = options.get("using")
    rest = {k: v for k, v in options.items() if k not in ("queue", "using", "check")}
    limit = queue.max_payload
    jobs = [
        new_job(
            payload,
            handler=name,
            queue=queue.name,
            limit=limit,
            max_attempts=defaults,
            options=cast(JobOptions, rest),
        )
        for payload in payloads
    ]
    send(queue, jobs, using, name)
    return [job.id for job in jobs]


def send(queue: Queue, jobs: Sequence[NewJob], using: str | None, handler: str) -> None:
    """Push jobs if and when the transaction commits, or at once where there is none."""
    connection = transaction_of(using, handler)
    if not jobs:
        return
    with around(queue, jobs) as ready:
        if connection is not None:
            carrier.on_commit(connection, queue, ready)
        else:
            carrier.at_once(using, queue, ready)


async def apush_job(
    handler: str | Handler, payload: Any = None, **options: Unpack[PushOptions]
) -> str:
    """Push a job from async code; see push_job."""
    return await sync_to_async(push_job, thread_sensitive=True)(handler, payload, **options)


async def apush_jobs(
    handler: str | Handler, payloads: Iterable[Any], **options: Unpack[PushOptions]
) -> list[str]:
    """Push a job for each payload from async code; see push_job."""
    return await sync_to_async(push_jobs, thread_sensitive=True)(handler, payloads, **options)


def transaction_of(using: str | None, handler: str) -> BaseDatabaseWrapper | None:
    """Return the connection whose transaction decides; None to push at once.

    Raises ValueError if several are in a transaction and `using` names none of them. The
    blocks of a TestCase, which never commits, count only where there are no others.
    """
    every = connections.all(initialized_only=True)
    opened = every if using is None else [connections[using]]
    busy = [connection for connection in opened if connection.in_atomic_block]
    if not busy:
        for connection in opened:
            _refuse_manual_transaction(connection, handler)
        return None
    own = [connection for connection in busy if not _in_test_only(connection)]
    found = {connection.alias: connection for connection in own or busy}
    if len(own) > 1 and "default" not in found:
        raise ValueError(
            f"Handler {handler!r}: the databases {', '.join(sorted(found))} are in a"
            " transaction. Say whose commit decides: using=..."
        )
    return found.get("default") or next(iter(found.values()))


def refuse_event_loop(function: str = "push_job", other: str = "apush_job") -> None:
    """Raise PushError on an event loop: its thread does not own the transaction."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise PushError(f"{function} would block the event loop: use `await {other}(...)`.")


def push_now(queue: Queue, jobs: Sequence[NewJob]) -> None:
    """Push jobs, and send `job_pushed` for each; not for one that another stands for."""
    tell_pushed(queue, jobs, queue.add(jobs))


def tell_pushed(queue: Queue, jobs: Sequence[NewJob], answers: Sequence[int]) -> None:
    """Send `job_pushed` for each job, by what the push answered."""
    if not job_pushed.receivers:
        return
    for job, answer in zip(jobs, answers, strict=True):
        if answer == 2 or job.callback or job.seal:
            continue
        job_pushed.send_robust(job.handler, id=job.id, queue=queue.name, handler=job.handler)


def tell_lost(queue: Queue, jobs: Sequence[NewJob], error: BaseException) -> None:
    """Log each job that a commit could not push, and send `job_push_failed`."""
    for job in jobs:
        log.error(
            "Job %s (handler %s) was not pushed to queue %s after the commit: %s",
            job.id,
            job.handler,
            queue.name,
            error.__cause__ or error,
            extra={"job": job.id, "queue": queue.name, "handler": job.handler},
        )
        job_push_failed.send_robust(
            job.handler,
            id=job.id,
            queue=queue.name,
            handler=job.handler,
            payload=job.payload,
            error=error,
        )


def resolve(handler: str | Handler, options: PushOptions) -> tuple[str, Queue, int]:
    """Return the handler's name, the queue, and how many attempts its jobs get."""
    if isinstance(handler, Handler):
        found: Handler | None = handler
    elif isinstance(handler, str):
        found = get_handler(handler) if options.get("check", True) else None
    else:
        raise JobsError(
            f"push_job takes a handler or its name, not {handler!r}: decorate it with @handler."
        )
    name = found.name if found else cast(str, handler)
    queue = get_queue(options.get("queue") or (found.queue if found else "default"))
    attempts = found.max_attempts if found and found.max_attempts else queue.max_attempts
    return name, queue, attempts


def _in_test_only(connection: BaseDatabaseWrapper) -> bool:
    return all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _refuse_manual_transaction(connection: BaseDatabaseWrapper, handler: str) -> None:
    if connection.connection is not None and not connection.autocommit:
        raise PushError(
            f"Handler {handler!r}: autocommit is off on database {connection.alias!r}, so"
            " nobody can say when it commits. Use atomic(), or get_queue(...).push(...)."
        )
