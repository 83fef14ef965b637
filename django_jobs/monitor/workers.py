"""The workers: what they say of themselves, and whether they are alive."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_jobs.monitor.counts import milliseconds
from django_jobs.monitor.reading import ask, moment, text
from django_jobs.monitor.shown import printable
from django_jobs.queue import Queue


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker process; `state` is running, quiet, stopping or lost."""

    id: str
    state: str
    host: str
    pid: int
    supervisor: int
    version: str
    queues: list[str]
    concurrency: int
    busy: int
    memory: int  # MB
    started: datetime | None
    silent: float  # seconds since its lease ended; below 0 it is alive


def all_workers(queues: Iterable[Queue]) -> list[WorkerRow]:
    """Return the workers of `runjobs` that are not closed, by host and pid. Raises RedisError."""
    found: dict[str, WorkerRow] = {}
    for queue in queues:
        leases, about, clock = ask(
            queue,
            [
                ("ZRANGEBYSCORE", f"{queue.root}:workers", "(0", "+inf", "WITHSCORES"),
                ("HGETALL", f"{queue.root}:about"),
                ("TIME",),
            ],
        )
        leases = leases or []
        for id, lease in zip(leases[::2], leases[1::2], strict=True):
            if (about or {}).get(id):
                row = _row(text(id), text(about[id]), (milliseconds(clock) - float(lease)) / 1000)
                found[row.id] = row
    return sorted(found.values(), key=lambda row: (row.host, row.supervisor, row.pid))


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
