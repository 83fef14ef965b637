"""The word that shows all of a job: show."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from django_jobs.conf import get_settings
from django_jobs.monitor import batches
from django_jobs.monitor.counts import server_time
from django_jobs.monitor.limits import Room, room_of
from django_jobs.monitor.shown import Reader, find_job
from django_jobs.operators.batching import standing
from django_jobs.operators.choosing import locate, queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import indented, moment, plain, span
from django_jobs.queue import Queue
from django_jobs.record import Attempt, JobRecord


def show(terminal: Terminal, options: Namespace) -> None:
    """Show all of some jobs, with what they were pushed with and how they failed."""
    queues, reader = queues_of(options.queue), Reader(get_settings().redactor)
    for place, given in enumerate(options.ids):
        queue, id = locate(given, queues)
        job = find_job(queue, id, reader)
        if job is None:
            raise CommandError(
                f"Job {plain(id)} of queue {queue.name} was cancelled, or has ended."
            )
        room = room_of(queue, job)
        if terminal.as_json:
            terminal.give(_value(job, room, reader))
        else:
            more, now = _belonging(queue, job, room), server_time(queue)
            text = "\n".join(_lines(job, more, reader, now))
            terminal.say(f"\n{text}" if place else text)


def _value(job: JobRecord, room: Room, reader: Reader) -> dict[str, Any]:
    value = {
        **job.facts(),
        "limit": room.limit or None,
        "limit_key_runs": room.running,
        "waits_for": room.waits_for,
        "payload": _payload(job.payload, reader),
        "result": _payload(job.result, reader) if job.result else None,
        "edited": [{"token": token, "payload": _payload(raw, reader)} for token, raw in job.edited],
    }
    return _with_times(value)


def _with_times(value: dict[str, Any]) -> dict[str, Any]:
    """Return a value in which times are text."""
    return {
        name: item.isoformat()
        if isinstance(item, datetime)
        else [_with_times(each) for each in item]
        if name == "errors"
        else item
        for name, item in value.items()
    }


def _payload(raw: bytes, reader: Reader) -> Any:
    """Return a payload as a value; as text, if JSON has none for it."""
    shown = reader.payload_of(raw, sys.maxsize)
    try:
        return json.loads(shown, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return shown


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _belonging(queue: Queue, job: JobRecord, room: Room) -> dict[str, str]:
    """Return what a job has to do with others, in words."""
    found = {}
    if job.limit_key:
        found["limit key"] = f"{job.limit_key} ({room.running:,} of {room.limit:,} run)"
    if room.waits_for:
        found["waits for"] = {
            "key": "a job of its limit key to end",
            "queue": f"a job of its queue to end: {room.limits.words}",
            "rate": f"its turn: {room.limits.words}",
        }[room.waits_for]
    if job.batch:
        known = batches.read(queue, [job.batch])
        found["batch"] = f"{job.batch} ({standing(known[0]) if known else 'forgotten'})"
    return found


def _lines(job: JobRecord, more: dict[str, str], reader: Reader, now: float) -> Iterator[str]:
    yield f"Job {plain(job.id)} of queue {job.queue}: {plain(job.state)}"
    facts = {
        "handler": job.handler,
        "attempts": f"{job.attempts} of {job.max_attempts}",
        "pushed": moment(job.enqueued_at, now),
        "due": moment(job.due_at, now),
        "began": moment(job.started_at, now),
        "failed": moment(job.failed_at, now),
        "succeeded": moment(job.finished_at, now),
        "expires": moment(job.expires_at, now),
        "error": job.exception,
        "worker": job.worker,
        "progress": _progress(job.progress),
        "priority": str(job.priority or ""),
        "timeout": span(job.timeout) if job.timeout else "",
        "crashes": str(job.crashes or ""),
        **more,
    }
    yield from (f"  {name:<10}{plain(value)}" for name, value in facts.items() if value)
    yield "Payload"
    yield indented(reader.payload_of(job.payload, sys.maxsize))
    if job.result:
        yield "Result"
        yield indented(reader.payload_of(job.result, sys.maxsize))
    for token, raw in job.edited:
        yield f"Payload of run {token}, before it was edited"
        yield indented(reader.payload_of(raw, sys.maxsize))
    for error in job.errors:
        yield from _failure(error, now)


def _progress(said: str) -> str:
    """Return `40% resizing`; what the redactor or somebody else wrote is shown as it is."""
    try:
        value = json.loads(said)
        return f"{value['fraction']:.0%} {value['text']}"
    except (ValueError, TypeError, LookupError, RecursionError):
        return said


def _failure(error: Attempt, now: float) -> Iterator[str]:
    yield f"Run {error.token} failed {moment(error.at, now)}, worker {plain(error.worker)}"
    yield indented(error.traceback or f"{error.exception}: {error.message}")
