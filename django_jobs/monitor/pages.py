"""Pages of jobs in one state; those of failed and scheduled jobs by a cursor, whatever moves."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from django_jobs import keys
from django_jobs.monitor.groups import Group
from django_jobs.monitor.reading import Command, ask, moment, number, text
from django_jobs.monitor.shown import Reader
from django_jobs.queue import Queue

SIZE = 50
CHUNK = 1000  # ids read at once to get past those that failed in the same millisecond
SEARCHED = 5000  # jobs that one search looks at
FIELDS = ("handler", "exception", "attempts", "max_attempts", "token", "enqueued_at", "started_at")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a job stands among all of its state; unique, so that paging loses nothing."""

    score: float
    queue: str
    id: bytes

    def __str__(self) -> str:
        return f"{self.score!r}:{self.queue}:{quote(self.id, safe='')}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """Read what `str` gave; None if it is something else."""
        score, _, rest = text.partition(":")
        queue, colon, id = rest.partition(":")
        try:
            value = float(score)
        except ValueError:
            return None
        known = colon and not math.isnan(value)
        return cls(value, queue, unquote_to_bytes(id)) if known else None


@dataclass(frozen=True, slots=True)
class Source:
    """A sorted set of jobs of one queue; `since` and `until` are the scores that count."""

    queue: Queue
    key: bytes
    since: float = -math.inf
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class Row:
    """A job as a list shows it; `at` is when it failed, is due, was pushed, began, or will be deleted."""

    id: str
    queue: str
    handler: str
    exception: str
    message: str
    attempts: int
    max_attempts: int
    at: datetime | None
    worker: str = ""

    @property
    def object_id(self) -> str:
        """Return the name of the job among all queues."""
        return f"{self.queue}:{self.id}"


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs in order; `before` and `after` lead to the pages around it, "" if there is none."""

    rows: list[Row]
    before: str = ""
    after: str = ""
    looked_at: int = 0  # by a search


def failed(queues: Iterable[Queue], since: float = -math.inf) -> list[Source]:
    """Return where all failed jobs of some queues stand; `since` in ms."""
    return [Source(queue, f"{queue.root}:failed".encode(), since) for queue in queues]


def failed_of(groups: Iterable[Group], since: float = -math.inf) -> list[Source]:
    """Return where the failed jobs of some groups stand."""
    return [Source(group.queue, group.key, since) for group in groups]


def scheduled(queues: Iterable[Queue]) -> list[Source]:
    """Return where the scheduled jobs of some queues stand."""
    return [Source(queue, f"{queue.root}:scheduled".encode()) for queue in queues]


def succeeded(queues: Iterable[Queue], now: float) -> list[Source]:
    """Return where the jobs whose results are kept stand, by the end of that; `now` in ms."""
    return [Source(queue, f"{queue.root}:succeeded".encode(), now) for queue in queues]


def page(
    sources: Sequence[Source],
    reader: Reader,
    *,
    before: Position | None = None,
    after: Position | None = None,
    size: int = SIZE,
    newest_first: bool = True,
) -> Page:
    """Return the page that follows `after`, or comes before `before`; with neither the first.

    Raises RedisError.
    """
    if before is not None:
        found = _beyond(sources, before, size + 1, rising=newest_first)
        if len(found) > size:
            found = found[:size][::-1]
            return Page(rows(sources, found, reader), str(found[0]), str(found[-1]))
        after = None  # that is the first page: fill it
    found = _beyond(sources, after, size + 1, rising=not newest_first)
    more = str(found[size - 1]) if len(found) > size else ""
    found = found[:size]
    back = str(found[0]) if after is not None and found else ""
    return Page(rows(sources, found, reader), back, more)


def search(
    sources: Sequence[Source],
    wanted: str,
    reader: Reader,
    *,
    after: Position | None = None,
    size: int = SIZE,
) -> Page:
    """Return the newest jobs in which a text stands, of the next 5,000; see `looked_at`.

    It is looked for in id, handler and exception class; for a reader of payloads in the
    message and the payload, too. Raises RedisError.
    """
    wanted, looked_at, matches = wanted.casefold(), 0, list[Row]()
    while looked_at < SEARCHED:
        found = _beyond(sources, after, 500, rising=False)
        made = {position: (row, hay) for position, row, hay in _haystacks(sources, found, reader)}
        for place, position in enumerate(found, 1):
            row, hay = made.get(position, (None, ""))
            if row is not None and wanted in hay.casefold():
                matches.append(row)
                if len(matches) == size:
                    return Page(matches, "", str(position), looked_at + place)
        looked_at += len(found)
        if len(found) < 500:
            return Page(matches, "", "", looked_at)
        after = found[-1]
    return Page(matches, "", str(after), looked_at)


def positions(sources: Sequence[Source], number: int) -> list[Position]:
    """Return the first jobs of some sources, the oldest first. Raises RedisError."""
    return _beyond(sources, None, number, rising=True)


def rows(sources: Iterable[Source], found: Sequence[Position], reader: Reader) -> list[Row]:
    """Return what stands at the positions, in their order; those without a job are left out."""
    made = {position: row for position, row, _rest in _read(sources, found, reader)}
    return [made[position] for position in found if position in made]


def row_of(position: Position, values: Sequence[bytes | None], message: str = "") -> Row:
    """Return a row from the FIELDS of a job's hash; its time is the position's score."""
    handler, exception, attempts, most, *_ = values
    return Row(
        id=text(position.id),
        queue=position.queue,
        handler=text(handler),
        exception=text(exception),
        message=message,
        attempts=number(attempts),
        max_attempts=number(most) or 5,
        at=moment(position.score),
    )


def _beyond(
    sources: Iterable[Source], cursor: Position | None, number: int, *, rising: bool
) -> list[Position]:
    """Return the `number` positions next to the cursor, the nearest first."""
    found = [
        position
        for source in sources
        for position in _beyond_of(source, cursor, number, rising=rising)
    ]
    return sorted(found, reverse=not rising)[:number]


def _beyond_of(
    source: Source, cursor: Position | None, number: int, *, rising: bool
) -> list[Position]:
    low, high = source.since, source.until
    if cursor is not None:
        low, high = (max(low, cursor.score), high) if rising else (low, min(high, cursor.score))
    redis: Any = source.queue.client
    found: list[Position] = []
    start, chunk = 0, number
    while low <= high:
        if rising:
            some = redis.zrangebyscore(source.key, low, high, start, chunk, withscores=True)
        else:
            some = redis.zrevrangebyscore(source.key, high, low, start, chunk, withscores=True)
        for id, score in some:
            position = Position(score, source.queue.name, id)
            if cursor is None or (position > cursor if rising else position < cursor):
                found.append(position)
        if len(found) >= number or len(some) < chunk:
            break
        start, chunk = start + chunk, CHUNK
    return found[:number]


def _messages(
    queue: Queue, found: Sequence[Position], fields: Sequence[Any], reader: Reader
) -> list[str]:
    """Return the message of each job's last attempt."""
    if not reader.payload:
        return [""] * len(found)
    wanted = [
        _hmget(queue, position.id, (f"error:{number(values[4]) if values else 0}",))
        for position, values in zip(found, fields, strict=True)
    ]
    return [_message(reply[0] if reply else None, reader) for reply in ask(queue, wanted)]


def _message(raw: bytes | None, reader: Reader) -> str:
    try:
        return reader.text(str(json.loads(text(raw))["message"]))
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""


def _haystacks(
    sources: Iterable[Source], found: Sequence[Position], reader: Reader
) -> Iterator[tuple[Position, Row, str]]:
    """Yield each job's row, and the text that is searched."""
    for position, row, (payload,) in _read(sources, found, reader, "payload"):
        shown = reader.payload_of(payload or b"", indent=None)
        yield position, row, f"{row.id}\n{row.handler}\n{row.exception}\n{row.message}\n{shown}"


def _read(
    sources: Iterable[Source], found: Sequence[Position], reader: Reader, *more: str
) -> Iterator[tuple[Position, Row, Sequence[bytes | None]]]:
    """Yield the rows of those positions that have a job, queue by queue, and more of its fields."""
    for queue in {source.queue.name: source.queue for source in sources}.values():
        mine = [position for position in found if position.queue == queue.name]
        fields = ask(queue, [_hmget(queue, position.id, (*FIELDS, *more)) for position in mine])
        messages = _messages(queue, mine, fields, reader)
        for position, values, message in zip(mine, fields, messages, strict=True):
            if values is not None and any(value is not None for value in values):
                yield position, row_of(position, values, message), values[len(FIELDS) :]


def _hmget(queue: Queue, id: bytes, names: Sequence[str]) -> Command:
    return ("HMGET", keys.job(queue.root, "").encode() + id, *names)
