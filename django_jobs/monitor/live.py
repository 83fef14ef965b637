"""Jobs that wait and jobs that run: what changes while one looks."""

from collections.abc import Iterable, Sequence
from typing import Any

from django_jobs import keys
from django_jobs.monitor.pages import FIELDS, SIZE, Page, Position, Row, row_of
from django_jobs.monitor.reading import ask, number, text
from django_jobs.queue import Queue

RUNNING = 500  # jobs of a queue that are looked at


def waiting_page(queues: Sequence[Queue], start: int = 0, size: int = SIZE) -> Page:
    """Return jobs in the order in which they are claimed, queue after queue, from the `start`th.

    The list moves while one reads: a page may show again what the last one showed.
    Raises RedisError.
    """
    found: list[Row] = []
    skip, more = start, False
    for queue in queues:
        wanted = size + 1 - len(found)
        ids, total = _waiting_ids(queue, skip, wanted)
        found += _rows(queue, ids)
        skip = max(0, skip - total)
        if len(ids) == wanted:
            more = True
            break
    before = str(max(0, start - size)) if start else ""
    return Page(found[:size], before, str(start + size) if more else "")


def running_page(queues: Iterable[Queue], size: int = SIZE) -> Page:
    """Return the jobs that run, the longest first; of very many in a queue only some."""
    found: list[Row] = []
    for queue in queues:
        held: dict[bytes, bytes] = {}
        redis: Any = queue.client
        cursor = None
        while cursor != 0 and len(held) < RUNNING:
            cursor, some = redis.hscan(f"{queue.root}:processing", cursor or 0, count=RUNNING)
            held |= some
        found += _rows(queue, list(held), held)
    found.sort(key=lambda row: row.at.timestamp() if row.at else 0.0)
    return Page(found[:size])


def _waiting_ids(queue: Queue, skip: int, wanted: int) -> tuple[list[bytes], int]:
    """Return ids after the first `skip`, and how many ids there are in all."""
    root = queue.root
    high, line, limited, low = ask(
        queue,
        [
            ("ZCOUNT", f"{root}:priority", "-inf", "(0"),
            ("LLEN", f"{root}:active"),
            ("ZCARD", f"{root}:limited"),
            ("ZCOUNT", f"{root}:priority", "(0", "+inf"),
        ],
    )
    ids: list[bytes] = []
    sizes = {"high": high or 0, "line": line or 0, "limited": limited or 0, "low": low or 0}
    for place, size in sizes.items():
        if (rest := wanted - len(ids)) > 0 and skip < size:
            ids += _slice(queue, place, skip, rest, high or 0)
        skip = max(0, skip - size)
    return ids, sum(sizes.values())


def _slice(queue: Queue, place: str, skip: int, count: int, high: int) -> list[bytes]:
    if place == "line":
        command = ("LRANGE", f"{queue.root}:active", -skip - count, -skip - 1)
        return list(reversed(ask(queue, [command])[0]))
    name = "limited" if place == "limited" else "priority"
    first = skip + (high if place == "low" else 0)
    last = min(first + count, high if place == "high" else first + count) - 1
    (found,) = ask(queue, [("ZRANGE", f"{queue.root}:{name}", first, last)])
    return list(found)


def _rows(queue: Queue, ids: Sequence[bytes], held: dict[bytes, bytes] | None = None) -> list[Row]:
    """Return rows; ids of jobs that are gone, or were cancelled in the list, are left out."""
    names = ("state", *FIELDS)
    key = keys.job(queue.root, "").encode()
    replies = ask(queue, [("HMGET", key + id, *names) for id in ids])
    found = []
    for id, values in zip(ids, replies, strict=True):
        if not values or not any(values) or (held is None and values[0]):
            continue
        fields = values[1:]
        at = number(fields[6]) if held is not None else number(fields[5])
        row = row_of(Position(at, queue.name, id), fields)
        found.append(row if held is None else _held(row, text(held[id])))
    return found


def _held(row: Row, worker: str) -> Row:
    return Row(**{name: getattr(row, name) for name in Row.__slots__} | {"worker": worker})
