"""A schedule: what code declares, what claim says of it when it is due, how it stands in Redis."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_jobs.options import JobOptions, NewJob
from django_jobs.record import moment
from django_jobs.rhythm import Rhythm

LATE = 60_000  # ms; an occurrence that is later than this was missed
OPTIONS = [
    name for name in JobOptions.__annotations__ if name not in ("delay", "run_at", "replace")
]
RHYTHM = ("cron", "every", "timezone")


@dataclass(frozen=True, slots=True)
class Schedule:
    """What code declares; each time its `job` is pushed anew, under another id."""

    name: str
    queue: str
    rhythm: Rhythm
    missed: str
    job: NewJob

    def arguments(self) -> list[str | int]:
        """Return what the define script takes for it."""
        options, fields = self.job.parts()
        rhythm: list[str | int] = ["every", self.rhythm.every]
        if self.rhythm.cron:
            rhythm = ["cron", self.rhythm.cron, "timezone", self.rhythm.timezone]
        words = [*options, *fields, *rhythm, "missed", self.missed]
        return [self.name, len(words), *words]


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule that is due, as claim names it: by its definition in Redis, not in this code."""

    queue: str
    name: bytes
    due: bytes  # 0 if nobody has said yet when it is
    missed: str
    raw: tuple[bytes, ...]
    rhythm: Rhythm

    @classmethod
    def of(cls, queue: str, row: Sequence[Any]) -> "Due":
        """Read what claim says of a schedule; the queue's place in the order comes first."""
        _, name, due, missed, *raw = row
        return cls(queue, name, due, _text(missed), tuple(v or b"" for v in raw), _rhythm(raw))

    def arguments(self, now: int, id: str) -> list[str | bytes | int]:
        """Return what the fire script takes, with the id of a new job; `now` is Redis' clock.

        Raises ValueError if this machine cannot tell when it is due next.
        """
        due = float(self.due)
        in_time = now - due <= LATE
        pushed = due and (in_time or self.missed == "once")
        then = self.rhythm.after(int(due) if in_time else now)
        return [self.name, self.due, *self.raw, then, id if pushed else "", int(due > 0)]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One that is past: pushed, skipped (the job of its unique key stood, `job`), or missed."""

    at: datetime | None
    kind: str
    job: str


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as it stands in Redis."""

    name: str
    queue: str
    handler: str
    payload: bytes
    rhythm: Rhythm
    missed: str
    project: str
    options: dict[str, str]  # what else its jobs are pushed with
    paused: bool
    next_at: datetime | None  # None: paused, or no worker has said yet
    late: float  # seconds since it was due; below 0 it is not yet
    recent: tuple[Occurrence, ...]  # the newest first

    @property
    def overdue(self) -> bool:
        """Say whether it should have been run long ago: no worker serves its queue."""
        return self.late > LATE / 1000

    @classmethod
    def of(
        cls, queue: str, now: int, name: bytes, due: bytes, flat: Sequence[bytes]
    ) -> "ScheduleRecord":
        """Read what the schedules script says of one."""
        fields = {_text(k): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
        at = 0.0 if due == b"inf" else float(due)
        return cls(
            name=_text(name),
            queue=queue,
            handler=_text(fields.get("handler")),
            payload=fields.get("payload", b""),
            rhythm=_rhythm([fields.get(name) for name in RHYTHM]),
            missed=_text(fields.get("missed")),
            project=_text(fields.get("project")),
            options={name: _text(fields[name]) for name in OPTIONS if name in fields},
            paused=due == b"inf",
            next_at=moment(at),
            late=(now - at) / 1000 if at else 0.0,
            recent=tuple(_occurrences(_text(fields.get("recent")).split("\n"))),
        )


def read_schedules(queue: str, reply: Sequence[Any]) -> list[ScheduleRecord]:
    """Read what the schedules script says."""
    now, *rows = reply
    return [
        ScheduleRecord.of(queue, now, *row)
        for row in zip(rows[::3], rows[1::3], rows[2::3], strict=True)
    ]


def _occurrences(lines: Iterable[str]) -> Iterator[Occurrence]:
    for line in lines:
        at, _, what = line.partition(" ")
        kind, _, job = what.partition(" ")
        if kind:
            yield Occurrence(moment(float(at)) if at.isdecimal() else None, kind, job)


def _rhythm(raw: Sequence[bytes | None]) -> Rhythm:
    cron, every, timezone = map(_text, raw)
    return Rhythm(cron, int(every) if every.isdecimal() else 0, timezone)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
