"""Pages of jobs in one state; those of failed and scheduled jobs by a cursor, whatever moves."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from django_jobs import keys
from django_jobs.monitor.groups import Group
from django_jobs.monitor.reading import Command, ask, number, text
from django_jobs.monitor.shown import Reader
from django_jobs.queue import Queue
from django_jobs.record import moment

SIZE = 50
CHUNK = 1000  # ids read at once to get past those that failed in the same millisecond
SEARCHED = 5000  # jobs that one search looks at
SEARCH_SECONDS = 2.0  # and for how long: payloads may be long
BATCH = 500  # jobs whose places are read at once
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


def counts(sources: Iterable[Source]) -> list[tuple[Source, int]]:
    """Return each source with how many jobs stand in it. Raises RedisError."""
    found: list[tuple[Source, int]] = []
    for queue, mine in _by_queue(sources):
        commands = [("ZCOUNT", one.key, repr(one.since), repr(one.until)) for one in mine]
        found += zip(mine, (count or 0 for count in ask(queue, commands)), strict=True)
    return found


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
    """Return the newest jobs in which a text stands, of the next 5,000 or of what
    two seconds allow; see `looked_at`.

    It is looked for in id, handler and exception class; for a reader of payloads in the
    message and the payload, too. Raises RedisError.
    """
    wanted, looked_at, matches = wanted.casefold(), 0, list[Row]()
    enough = time.monotonic() + SEARCH_SECONDS
    for looked_at, (position, row, raw) in enumerate(_newest(sources, after, reader), 1):
        if row is not None and wanted in _haystack(row, raw, reader).casefold():
            matches.append(row)
        if len(matches) == size or looked_at == SEARCHED or time.monotonic() > enough:
            return Page(matches, "", str(position), looked_at)
    return Page(matches, "", "", looked_at)


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
    found: list[Position] = []
    for queue, mine in _by_queue(sources):
        first = ask(queue, [_range(source, cursor, 0, number, rising=rising) for source in mine])
        for source, some in zip(mine, first, strict=True):
            found += _beyond_of(source, cursor, number, some or [], rising=rising)
    return sorted(found, reverse=not rising)[:number]


def _beyond_of(
    source: Source, cursor: Position | None, number: int, some: list[bytes], *, rising: bool
) -> list[Position]:
    """Return positions of one source; `some` are its first, and whether they count is not known."""
    found: list[Position] = []
    start, chunk = 0, number
    while True:
        for id, score in zip(some[::2], some[1::2], strict=True):
            position = Position(float(score), source.queue.name, id)
            if cursor is None or (position > cursor if rising else position < cursor):
                found.append(position)
        if len(found) >= number or len(some) < 2 * chunk:
            return found[:number]
        start, chunk = start + chunk, CHUNK
        (some,) = ask(source.queue, [_range(source, cursor, start, chunk, rising=rising)])


def _range(
    source: Source, cursor: Position | None, start: int, count: int, *, rising: bool
) -> Command:
    low, high = source.since, source.until
    if cursor is not None:
        low, high = (max(low, cursor.score), high) if rising else (low, min(high, cursor.score))
    name, ends = ("ZRANGEBYSCORE", (low, high)) if rising else ("ZREVRANGEBYSCORE", (high, low))
    return (name, source.key, *map(repr, ends), "WITHSCORES", "LIMIT", start, count)


def _by_queue(sources: Iterable[Source]) -> list[tuple[Queue, list[Source]]]:
    """Return the sources of each queue."""
    found: dict[str, tuple[Queue, list[Source]]] = {}
    for source in sources:
        found.setdefault(source.queue.name, (source.queue, []))[1].append(source)
    return list(found.values())


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


def _newest(
    sources: Sequence[Source], after: Position | None, reader: Reader
) -> Iterator[tuple[Position, Row | None, bytes | None]]:
    """Yield all positions after one, the newest first, with the job's row and its payload."""
    while True:
        found = _beyond(sources, after, BATCH, rising=False)
        for first in range(0, len(found), SIZE):
            some = found[first : first + SIZE]
            read = _read(sources, some, reader, "payload")
            made = {position: (row, raw) for position, row, (raw,) in read}
            yield from ((position, *made.get(position, (None, None))) for position in some)
        if len(found) < BATCH:
            return
        after = found[-1]


def _haystack(row: Row, payload: bytes | None, reader: Reader) -> str:
    """Return the text of a job that is searched."""
    shown = reader.payload_of(payload or b"", indent=None)
    return f"{row.id}\n{row.handler}\n{row.exception}\n{row.message}\n{shown}"


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
