"""Reading a queue by cursors and pages, none of which holds Redis up."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from django_jobs import keys
from django_jobs.line import checked
from django_jobs.queue import Queue

T = TypeVar("T")

PAGE = 1000  # ids of one command
INDEXES = {
    "active": b"list",
    "priority": b"zset",
    "processing": b"hash",
    "failed": b"zset",
    "scheduled": b"zset",
    "succeeded": b"zset",
    "schedules": b"zset",
    "workers": b"zset",
    "counts": b"hash",
    "groups": b"hash",
    "limited": b"zset",
    "ring": b"zset",
    "keyed": b"hash",
    "running": b"hash",
    "limit": b"hash",
}
PLACES = ("processing", "failed", "scheduled", "succeeded", "priority", "limited")


def ids(queue: Queue) -> Iterator[bytes]:
    """Yield the ids of all jobs that have a key; some of them twice."""
    skip = len(job(queue, b""))
    for key in queue.client.scan_iter(match=job(queue, b"*"), count=PAGE):
        yield key[skip:]


def ids_without_key(queue: Queue) -> Iterator[bytes]:
    """Yield the ids that stand in a place and have no key."""
    for name in PLACES:
        for page in pages(queue, name):
            found = ask(queue, [("EXISTS", job(queue, id)) for id in page])
            yield from (id for id, exists in zip(page, found, strict=True) if not exists)


def pages(queue: Queue, name: str) -> Iterator[dict[bytes, Any]]:
    """Yield a hash or a sorted set in pages."""
    client: Any = queue.client
    scan = client.hscan if INDEXES[name] == b"hash" else client.zscan
    cursor = None
    while cursor != 0:
        cursor, page = scan(key(queue, name), cursor or 0, count=PAGE)
        yield dict(page)


def list_pages(queue: Queue) -> Iterator[list[bytes]]:
    """Yield the list from the left in pages; what stays in it meanwhile comes exactly once.

    Pushes move everything to the right, so each page is looked up from the last id before
    it. If that one was claimed, so was all that stood behind it.
    """
    client: Any = queue.client
    place, last, more = -1, None, True
    while more:
        first = max(place, 0)
        page = client.lrange(key(queue, "active"), first, first + PAGE - 1)
        more = len(page) == PAGE
        if last in page:
            place, page = first + page.index(last), page[page.index(last) + 1 :]
        elif last is not None:
            place += len(page)
            continue
        if page:
            yield page
            last, place = page[-1], place + len(page)


def ask(queue: Queue, commands: Iterable[Sequence[Any]], *, transaction: bool = False) -> list[Any]:
    """Send commands in one round trip. Raises RedisError, but for keys of a wrong type."""
    with queue.client.pipeline(transaction=transaction) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
    checked([reply for reply in replies if not is_wrong_type(reply)])
    return replies


def is_wrong_type(reply: object) -> bool:
    """Say whether a reply is the error for a key of another type."""
    return isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of up to `size`."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def key(queue: Queue, name: str) -> str:
    """Return the key of one of a queue's indexes."""
    return f"{queue.root}:{name}"


def job(queue: Queue, id: bytes) -> bytes:
    """Return the key of a job's hash."""
    return keys.job(queue.root, "").encode() + id
