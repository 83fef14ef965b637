"""How a job, and a queue, stand in Redis at one moment, for whoever looks."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django_jobs.job import MAX_ATTEMPTS

NUMBER = re.compile(rb"-?\d{1,18}\Z")
TOKEN = re.compile(r"[0-9]{1,18}\Z")

Raw = dict[bytes, bytes]
Look = Callable[[str], "JobRecord | None"]


@dataclass(frozen=True, slots=True)
class Stats:
    """How many jobs a queue has in each state."""

    active: int
    processing: int
    failed: int
    scheduled: int
    paused: bool
    succeeded: int = 0  # those whose results are kept

    @classmethod
    def of(cls, reply: Sequence[int]) -> "Stats":
        """Read what the stats script answers."""
        active, processing, failed, scheduled, paused, succeeded = reply
        return cls(active, processing, failed, scheduled, bool(paused), succeeded)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt, as Redis keeps it."""

    token: int
    exception: str
    message: str
    at: datetime | None
    worker: str
    traceback: str = ""
    began_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job as it stands in Redis, in any state."""

    id: str
    queue: str
    state: str
    handler: str
    payload: bytes
    attempts: int
    max_attempts: int
    token: int
    crashes: int
    priority: int
    enqueued_at: datetime | None
    started_at: datetime | None
    failed_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None
    expires_at: datetime | None
    timeout: float | None
    exception: str
    worker: str
    progress: str
    result: bytes  # JSON; empty if there is none
    group: str
    unique: str
    limit_key: str
    batch: str
    schedule: str  # that pushed it, for its occurrence at `occurrence`
    occurrence: datetime | None
    errors: tuple[Attempt, ...]
    edited: tuple[tuple[int, bytes], ...]  # payloads it had before, and the token of the run
    look: Look = field(repr=False, compare=False)

    def refresh(self) -> "JobRecord | None":
        """Return the job as it stands now; None if it succeeded or was removed. Raises RedisError."""
        return self.look(self.id)

    def facts(self) -> dict[str, Any]:
        """Return its fields as plain values."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.compare}
        return {**values, "errors": tuple(asdict(error) for error in self.errors)}

    @classmethod
    def from_hash(
        cls, id: str, queue: str, raw: Raw, *, worker: str, due: float | None, look: Look
    ) -> "JobRecord":
        """Build it from the job's hash; a field that holds nonsense counts as absent."""
        fields = {_text(name): value for name, value in raw.items()}
        number = partial(_number, fields)
        return cls(
            id=id,
            queue=queue,
            state=_text(fields.get("state", b"active")),
            handler=_text(fields.get("handler", b"")),
            payload=fields.get("payload", b""),
            attempts=number("attempts"),
            max_attempts=number("max_attempts", MAX_ATTEMPTS),
            token=number("token"),
            crashes=number("crashes"),
            priority=number("priority"),
            enqueued_at=moment(number("enqueued_at")),
            started_at=moment(number("started_at")),
            failed_at=moment(number("failed_at")),
            finished_at=moment(number("finished_at")),
            due_at=moment(due),
            expires_at=moment(number("expires_at")),
            timeout=number("timeout") / 1000 or None,
            exception=_text(fields.get("exception", b"")),
            worker=worker or _text(fields.get("worker", b"")),
            progress=_text(fields.get("progress", b"")),
            result=fields.get("result", b""),
            group=_text(fields.get("group", b"")),
            unique=_text(fields.get("unique") or fields.get("unique_start", b"")),
            limit_key=_text(fields.get("limit_key", b"")),
            batch=_text(fields.get("batch", b"")),
            schedule=_text(fields.get("schedule", b"")),
            occurrence=moment(number("occurrence")),
            errors=_errors(fields),
            look=look,
            edited=tuple((n, fields[f"payload:{n}"]) for n in _tokens(fields, "payload")),
        )


def _number(fields: dict[str, bytes], name: str, default: int = 0) -> int:
    value = fields.get(name, b"")
    return int(value) if NUMBER.match(value) else default


def _errors(fields: dict[str, bytes]) -> tuple[Attempt, ...]:
    found = []
    for token in _tokens(fields, "error"):
        try:
            error = json.loads(_text(fields[f"error:{token}"]))
        except (ValueError, RecursionError):
            continue
        if not isinstance(error, dict):
            continue
        found.append(
            Attempt(
                token=token,
                exception=str(error.get("exception", "")),
                message=str(error.get("message", "")),
                at=moment(error.get("time")),
                worker=str(error.get("worker", "")),
                traceback=_text(fields.get(f"traceback:{token}", b"")),
                began_at=moment(error.get("began")),
            )
        )
    return tuple(found)


def _tokens(fields: dict[str, bytes], kind: str) -> list[int]:
    """Return the tokens under which a kind of record is kept, oldest first."""
    names = (name.partition(":") for name in fields)
    return sorted(int(token) for name, _, token in names if name == kind and TOKEN.match(token))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def moment(milliseconds: float | None) -> datetime | None:
    """Return a time of Redis; None for 0 and what no calendar has."""
    if not milliseconds:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
