"""A schedule: what code declares, what claim says of it when it is due, how it stands in Redis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_jobs.options import NewJob
from django_jobs.record import moment
from django_jobs.rhythm import Rhythm

LATE = 60_000  # ms; an occurrence that is later than this was missed
OPTIONS = ("priority", "max_attempts", "timeout", "unique", "expires")


@dataclass(frozen=True, slots=True)
class Schedule:
    """What code declares; each time its `job` is pushed anew, under another id."""

    name: str
    queue: str
    rhythm: Rhythm
    missed: str
    job: NewJob

    def arguments(self, now: int) -> list[str | int]:
        """Return what the define script takes for it; `now` is the server's clock in ms."""
        fields = self.job.fields()
        more: list[tuple[str, str | int]] = [
            ("unique", self.job.unique),
            ("expires", self.job.expires),
            ("cron", self.rhythm.cron),
            ("every", self.rhythm.every),
            ("timezone", self.rhythm.timezone),
            ("missed", self.missed),
        ]
        fields += [word for field in more if field[1] for word in field]
        return [self.name, self.rhythm.after(now), len(fields), *fields]


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule that is due, as claim names it: by its definition in Redis, not in this code."""

    queue: str
    name: bytes
    due: bytes
    since: bytes
    missed: str
    rhythm: Rhythm

    @classmethod
    def of(cls, queue: str, row: Sequence[Any]) -> "Due":
        """Read what claim says of a schedule; the queue's place in the order comes first."""
        _, name, due, since, missed, *rhythm = row
        return cls(queue, name, due, since or b"", _text(missed), _rhythm(*rhythm))

    def decide(self, now: int) -> tuple[bool, int]:
        """Return whether a job is pushed, and when the next one is due; `now` is Redis' clock.

        Raises ValueError if this machine cannot tell.
        """
        due = float(self.due)
        if now - due <= LATE:
            return True, self.rhythm.after(int(due))
        return self.missed == "once", self.rhythm.after(now)


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
    since: str  # when the supervisor that defined it started, in ms
    options: dict[str, str]  # what else its jobs are pushed with
    paused: bool
    next_at: datetime | None
    late: float  # seconds since it was due; below 0 it is not yet
    recent: tuple[Occurrence, ...]  # the newest first

    @property
    def overdue(self) -> bool:
        """Say whether it should long have been run: no worker serves its queue."""
        return self.late > LATE / 1000

    @classmethod
    def of(
        cls, queue: str, now: int, name: bytes, due: bytes, flat: Sequence[bytes]
    ) -> "ScheduleRecord":
        """Read what the schedules script says of one."""
        fields = {_text(k): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
        paused = due == b"inf"
        return cls(
            name=_text(name),
            queue=queue,
            handler=_text(fields.get("handler")),
            payload=fields.get("payload", b""),
            rhythm=_rhythm(*(fields.get(name) for name in ("cron", "every", "timezone"))),
            missed=_text(fields.get("missed")),
            project=_text(fields.get("project")),
            since=_text(fields.get("since")),
            options={name: _text(fields[name]) for name in OPTIONS if name in fields},
            paused=paused,
            next_at=None if paused else moment(float(due)),
            late=0.0 if paused else (now - float(due)) / 1000,
            recent=tuple(_occurrences(_text(fields.get("recent")).split("\n"))),
        )


def _occurrences(lines: Iterable[str]) -> Iterable[Occurrence]:
    for line in lines:
        at, _, what = line.partition(" ")
        kind, _, job = what.partition(" ")
        if kind:
            yield Occurrence(moment(float(at)) if at.isdigit() else None, kind, job)


def _rhythm(cron: bytes | None, every: bytes | None, timezone: bytes | None) -> Rhythm:
    number = _text(every)
    return Rhythm(_text(cron), int(number) if number.isdecimal() else 0, _text(timezone))


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
