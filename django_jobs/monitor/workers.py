"""The workers: what they say of themselves, and whether they are alive."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_jobs.monitor.counts import milliseconds
from django_jobs.monitor.reading import ask, text
from django_jobs.monitor.shown import printable
from django_jobs.queue import Queue
from django_jobs.record import moment


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker process; `state` is running, quiet, stopping or lost."""

    id: str
    state: str
    host: str
    pid: int
    supervisor: int
    version: str
    release: str
    queues: list[str]
    concurrency: int
    busy: int
    memory: int  # MB
    started: datetime | None
    silent: float  # seconds since its lease ended; below 0 it is alive


def all_workers(queues: Iterable[Queue]) -> list[WorkerRow]:
    """Return the workers of `runjobs` that are not closed, by host and pid. Raises RedisError."""
    leases: dict[bytes, float] = {}  # seconds from now
    facts: dict[bytes, bytes] = {}
    for queue in queues:
        found, clock = ask(
            queue,
            [("ZRANGEBYSCORE", f"{queue.root}:workers", "(0", "+inf", "WITHSCORES"), ("TIME",)],
        )
        now, found = milliseconds(clock), found or []
        for id, lease in zip(found[::2], found[1::2], strict=True):
            leases[id] = max(leases.get(id, -math.inf), (float(lease) - now) / 1000)
        unknown = [id for id in found[::2] if id not in facts]
        if unknown:  # a worker says the same under each queue it serves
            (said,) = ask(queue, [("HMGET", f"{queue.root}:about", *unknown)])
            facts |= {id: line for id, line in zip(unknown, said or [], strict=False) if line}
    rows = [_row(text(id), text(said), -leases[id]) for id, said in facts.items()]
    return sorted(rows, key=lambda row: (row.host, row.supervisor, row.pid))


def _row(id: str, said: str, silent: float) -> WorkerRow:
    facts = _facts(said)

    def whole(name: str) -> int:
        value = facts.get(name)
        return value if isinstance(value, int) else 0

    def words(name: str) -> str:
        return printable(str(facts.get(name, "")))

    queues = facts.get("queues")
    return WorkerRow(
        id=id,
        state="lost" if silent > 0 else words("state"),
        host=words("host"),
        pid=whole("pid"),
        supervisor=whole("supervisor"),
        version=words("version"),
        release=words("release"),
        queues=[printable(str(name)) for name in queues] if isinstance(queues, list) else [],
        concurrency=whole("concurrency"),
        busy=whole("busy"),
        memory=whole("memory"),
        started=moment(whole("started") * 1000),
        silent=silent,
    )


def _facts(said: str) -> dict[str, Any]:
    try:
        facts = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
