"""A span around each push, and one around each run, which knows of it.

As the messaging conventions of OpenTelemetry say: the context of the push travels with
the job; each attempt is a child of it, and linked to it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from asgiref.sync import iscoroutinefunction
from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, StatusCode

from django_jobs.connection import get_queue
from django_jobs.exceptions import Snooze
from django_jobs.job import Job
from django_jobs.middleware import Run
from django_jobs.options import NewJob
from django_jobs.queue import Queue
from django_jobs.version import __version__

FLUSH = 3000  # ms at the end of a worker, for what it has not exported

_tracer = trace.get_tracer("django_jobs", __version__)


@contextmanager
def pushing(queue: Queue, jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """Go around a push: give its jobs the context of a span."""
    facts = _facts(queue, "push", "send")
    handlers = {job.handler for job in jobs}
    if len(handlers) == 1:
        facts["messaging.django_jobs.handler"] = jobs[0].handler
    if len(jobs) == 1:
        facts["messaging.message.id"] = jobs[0].id
    else:
        facts["messaging.batch.message_count"] = sum(not job.seal for job in jobs)
    with _span(f"push {queue.name}", SpanKind.PRODUCER, facts):
        headers: dict[str, str] = {}
        propagate.inject(headers)
        said = json.dumps(headers) if headers else ""
        yield [replace(job, trace=said) for job in jobs]


class Running:
    """Goes around a run, as middleware."""

    async_capable = True

    def __init__(self, run: Run) -> None:
        self._run = run
        self._is_async = iscoroutinefunction(run)

    def __call__(self, job: Job) -> Any:
        """Run the job in a span."""
        if self._is_async:
            return self._await(job)
        with _running(job):
            return self._run(job)

    async def _await(self, job: Job) -> Any:
        with _running(job):
            return await self._run(job)


def flush(**_: object) -> None:
    """Export what is left: a worker ends without Python's own way to say so."""
    if force := getattr(trace.get_tracer_provider(), "force_flush", None):
        force(FLUSH)


@contextmanager
def _running(job: Job) -> Iterator[None]:
    facts = _facts(get_queue(job.queue), "run", "process")
    facts["messaging.message.id"] = job.id
    facts["messaging.django_jobs.handler"] = job.handler
    facts["messaging.django_jobs.attempt"] = job.attempt
    context = propagate.extract(_headers(job), Context())  # not that of the worker
    pushed = trace.get_current_span(context).get_span_context()
    links = [Link(pushed)] if pushed.is_valid else []
    token = contexts.attach(context)  # its baggage too
    try:
        with _span(f"run {job.queue}", SpanKind.CONSUMER, facts, links):
            yield
    finally:
        contexts.detach(token)


@contextmanager
def _span(
    name: str, kind: SpanKind, facts: Mapping[str, str | int], links: Sequence[Link] = ()
) -> Iterator[None]:
    """Be in a span, and let it say what was raised; to put a job off is no error."""
    with _tracer.start_as_current_span(
        name,
        kind=kind,
        attributes=facts,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Snooze:
            raise
        except BaseException as error:
            span.record_exception(error)
            span.set_status(StatusCode.ERROR, str(error))
            span.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
            raise


def _facts(queue: Queue, name: str, kind: str) -> dict[str, str | int]:
    server = queue.client.connection_pool.connection_kwargs
    facts = {
        "messaging.system": "django_jobs",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue.name,
        "server.address": server.get("host") or server.get("path"),
        "server.port": server.get("port"),
    }
    return {fact: value for fact, value in facts.items() if value}


def _headers(job: Job) -> dict[str, str]:
    """Return the headers that came with a job; those of another program may be anything."""
    try:
        headers = json.loads((job.held and job.held.trace) or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(headers, dict):
        return {}
    return {name: value for name, value in headers.items() if isinstance(value, str)}
