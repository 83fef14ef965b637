"""The read side over several queues: counts, pages of failed jobs, what may be shown.

Each queue brings its own client, so queues of several Redis servers can stand on one page.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from redis.exceptions import RedisError, ResponseError

from django_jobs import keys
from django_jobs.exceptions import PayloadError
from django_jobs.job import JobRecord, Stats, decode_payload
from django_jobs.line import run_many
from django_jobs.queue import Queue
from django_jobs.scripts import Call, get_script

PAGE = 50
CHUNK = 1000  # ids read at once to get past those that failed in the same millisecond
SHOWN = 65_536  # characters of a payload, message or traceback
FIELDS = ("handler", "exception", "attempts", "max_attempts", "token")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a failed job stands among all of them; unique, so that paging loses nothing."""

    score: float
    queue: str
    id: bytes

    def __str__(self) -> str:
        return f"{self.score!r}:{self.queue}:{self.id.decode('utf-8', 'replace')}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """Read what `str` gave; None if it is something else."""
        score, _, rest = text.partition(":")
        queue, colon, id = rest.partition(":")
        try:
            number = float(score)
        except ValueError:
            return None
        return cls(number, queue, id.encode()) if colon and math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A failed job as a list shows it; `message` is empty for who may not see it."""

    id: str
    queue: str
    handler: str
    exception: str
    message: str
    attempts: int
    max_attempts: int
    failed_at: datetime | None

    @property
    def object_id(self) -> str:
        """Return the name of the job among all queues."""
        return f"{self.queue}:{self.id}"


@dataclass(frozen=True, slots=True)
class Page:
    """Failed jobs, newest first; `newer` and `older` lead to the next pages, "" if none."""

    rows: list[FailedRow]
    newer: str
    older: str


def by_client(queues: Iterable[Queue]) -> list[list[Queue]]:
    """Return the queues in groups that share a Redis."""
    groups: dict[int, list[Queue]] = {}
    for queue in queues:
        groups.setdefault(id(queue.client), []).append(queue)
    return list(groups.values())


def all_stats(queues: Iterable[Queue]) -> dict[str, Stats]:
    """Return the counts of each queue by its name, one round trip per Redis. Raises RedisError."""
    found = {}
    for group in by_client(queues):
        calls = [Call(get_script("stats"), queue.keys, ()) for queue in group]
        replies = run_many(group[0].client, calls)
        for queue, (active, processing, failed, scheduled, paused) in zip(
            group, replies, strict=True
        ):
            found[queue.name] = Stats(active, processing, failed, scheduled, bool(paused))
    return dict(sorted(found.items()))


def failed_page(
    queues: Sequence[Queue],
    *,
    before: Position | None = None,
    after: Position | None = None,
    size: int = PAGE,
    payload: bool = False,
) -> Page:
    """Return a page of the failed jobs older than `before`, or newer than `after`.

    With neither, the newest. Only with `payload` are exception messages read at all.
    Raises RedisError.
    """
    if after is not None:
        found = _beyond(queues, after, size + 1, newer=True)
        if len(found) > size:
            found = found[:size][::-1]
            return Page(_rows(queues, found, payload=payload), str(found[0]), str(found[-1]))
        before = None  # the first page: fill it
    found = _beyond(queues, before, size + 1, newer=False)
    older = str(found[size - 1]) if len(found) > size else ""
    found = found[:size]
    newer = str(found[0]) if before is not None and found else ""
    return Page(_rows(queues, found, payload=payload), newer, older)


def find_job(queue: Queue, id: str, *, payload: bool = False) -> JobRecord | None:
    """Return a job as it may be shown: without `payload` nothing that a user's data is in."""
    record = queue.job(id)
    if record is None:
        return None
    errors = tuple(
        replace(
            error,
            exception=printable(error.exception),
            message=printable(error.message) if payload else "",
            traceback=printable(error.traceback) if payload else "",
        )
        for error in record.errors
    )
    shown = record if payload else replace(record, payload=b"", progress="")
    return replace(shown, errors=errors)


def payload_text(raw: bytes) -> str:
    """Return a payload for the eye: indented if it is JSON, else as it is; at most 64 K."""
    try:
        text = json.dumps(decode_payload(raw), indent=2, ensure_ascii=False)
    except (PayloadError, ValueError, RecursionError):
        text = raw.decode("utf-8", "replace")
    return printable(text)


def printable(text: str) -> str:
    """Return a text that any page can hold: no lone surrogates, at most 64 K."""
    cut = text if len(text) <= SHOWN else f"{text[:SHOWN]} …"
    return cut.encode("utf-8", "replace").decode()


def _beyond(
    queues: Iterable[Queue], cursor: Position | None, number: int, *, newer: bool
) -> list[Position]:
    """Return the `number` positions next to the cursor, the nearest first."""
    found = [
        position for queue in queues for position in _beyond_of(queue, cursor, number, newer=newer)
    ]
    return sorted(found, reverse=not newer)[:number]


def _beyond_of(
    queue: Queue, cursor: Position | None, number: int, *, newer: bool
) -> list[Position]:
    key = f"{queue.root}:failed"
    edge: Any = cursor.score if cursor else "-inf" if newer else "+inf"
    read = queue.client.zrangebyscore if newer else queue.client.zrevrangebyscore
    found: list[Position] = []
    start, chunk = 0, number
    while True:
        page = cast(
            list[tuple[bytes, float]],
            read(key, edge, "+inf" if newer else "-inf", start=start, num=chunk, withscores=True),
        )
        for id, score in page:
            position = Position(score, queue.name, id)
            if cursor is None or (position > cursor if newer else position < cursor):
                found.append(position)
        if len(found) >= number or len(page) < chunk:
            return found[:number]
        start, chunk = start + chunk, CHUNK


def _rows(
    queues: Iterable[Queue], positions: Sequence[Position], *, payload: bool
) -> list[FailedRow]:
    """Return what the positions hold, in their order; those without a job are left out."""
    found = {}
    for queue in queues:
        mine = [position for position in positions if position.queue == queue.name]
        fields = _read(queue, [("HMGET", position, FIELDS) for position in mine])
        messages = _messages(queue, mine, fields) if payload else [""] * len(mine)
        for position, row, message in zip(mine, fields, messages, strict=True):
            if row is not None and any(value is not None for value in row):
                found[position] = _row(position, row, message)
    return [found[position] for position in positions if position in found]


def _row(position: Position, fields: list[bytes | None], message: str) -> FailedRow:
    handler, exception, attempts, most, _ = fields
    return FailedRow(
        id=position.id.decode("utf-8", "replace"),
        queue=position.queue,
        handler=_text(handler),
        exception=_text(exception),
        message=message,
        attempts=_number(attempts),
        max_attempts=_number(most),
        failed_at=_moment(position.score),
    )


def _messages(
    queue: Queue, positions: Sequence[Position], fields: Sequence[list[bytes | None] | None]
) -> list[str]:
    """Return the message of each job's last attempt."""
    wanted = [
        ("HMGET", position, (f"error:{_number(row[-1] if row else None)}",))
        for position, row in zip(positions, fields, strict=True)
    ]
    messages = []
    for reply in _read(queue, wanted):
        try:
            messages.append(
                printable(str(json.loads(_text(reply[0] if reply else None))["message"]))
            )
        except (ValueError, TypeError, LookupError, RecursionError):
            messages.append("")
    return messages


def _read(
    queue: Queue, commands: Iterable[tuple[str, Position, Sequence[str]]]
) -> list[list[bytes | None] | None]:
    """Read from job hashes in one round trip; None where there is something else."""
    with queue.client.pipeline(transaction=False) as pipeline:
        for verb, position, names in commands:
            key = keys.job(queue.root, "").encode() + position.id
            pipeline.execute_command(verb, key, *names)
        replies = pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
            raise reply
    return [None if isinstance(reply, Exception) else reply for reply in replies]


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _number(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else 0


def _moment(milliseconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
