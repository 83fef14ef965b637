"""The schedules, and what became of the jobs they pushed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django_jobs.line import run_many
from django_jobs.monitor.counts import milliseconds
from django_jobs.monitor.reading import ask, by_client, number, text
from django_jobs.queue import Queue
from django_jobs.schedule import LATE, Occurrence, ScheduleRecord, read_schedules
from django_jobs.scripts import Call, get_script


@dataclass(frozen=True, slots=True)
class Run:
    """A past occurrence; `state` is its job's, or gone, skipped, missed."""

    at: datetime | None
    state: str
    job: str  # as `queue:id`, where there is one to look at


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule, and its past, the newest first."""

    schedule: ScheduleRecord
    runs: list[Run]

    @property
    def id(self) -> str:
        """Return what names it among those of all queues."""
        return f"{self.schedule.queue}:{self.schedule.name}"


def all_schedules(queues: Iterable[Queue], name: str = "") -> list[ScheduleRow]:
    """Return the schedules of these queues, or those of one name, by name. Raises RedisError."""
    found: list[ScheduleRow] = []
    names = (name,) if name else ()
    for group in by_client(queues):
        calls = [Call(get_script("schedules"), queue.keys, names) for queue in group]
        for queue, reply in zip(group, run_many(group[0].client, calls), strict=True):
            found += _rows(queue, read_schedules(queue.name, reply))
    return sorted(found, key=lambda row: (row.schedule.name, row.schedule.queue))


def overdue(queues: Iterable[Queue]) -> dict[str, float]:
    """Return for how many seconds the first schedule of each queue is due; 0 if it is in time."""
    found = {}
    for group in by_client(queues):
        commands = [("HGET", f"{queue.root}:meta", "schedules_at") for queue in group]
        *due, clock = ask(group[0], [*commands, ("TIME",)])
        now = milliseconds(clock)
        for queue, at in zip(group, due, strict=True):
            late = now - number(at) if number(at) else 0.0
            found[queue.name] = late / 1000 if late > LATE else 0.0
    return found


def _rows(queue: Queue, records: Sequence[ScheduleRecord]) -> list[ScheduleRow]:
    ids = [one.job for record in records for one in record.recent if one.kind == "pushed"]
    commands = [("HMGET", f"{queue.root}:job:{id}", "state", "handler") for id in ids]
    jobs = dict(zip(ids, ask(queue, commands), strict=True)) if ids else {}
    return [
        ScheduleRow(record, [_run(queue.name, one, jobs.get(one.job)) for one in record.recent])
        for record in records
    ]


def _run(queue: str, one: Occurrence, job: Sequence[bytes | None] | None) -> Run:
    if one.kind != "pushed":
        return Run(one.at, one.kind, f"{queue}:{one.job}" if one.job else "")
    if not job or not any(job) or job[0] == b"cancelled":
        return Run(one.at, "gone", "")
    return Run(one.at, text(job[0]) or "active", f"{queue}:{one.job}")
