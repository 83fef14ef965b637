"""What must hold of a queue in Redis; `check` says in plain sentences what does not.

It only reads, by cursors and pages: no command of it holds Redis up, and its memory does
not grow with the queue. The queue may move meanwhile: what looks wrong is looked at
again, and reported only if nothing about it has changed.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from redis.exceptions import ResponseError, WatchError

from django_jobs import keys
from django_jobs.job import MAX_ATTEMPTS
from django_jobs.line import checked
from django_jobs.queue import Queue

LIMIT = 1000  # sentences
CHUNK = 50_000  # jobs kept in memory at once
PAGE = 1000  # ids of one command
MOMENT = 200  # jobs read in one transaction

INDEXES = {
    "active": b"list",
    "priority": b"zset",
    "processing": b"hash",
    "failed": b"zset",
    "scheduled": b"zset",
    "workers": b"zset",
    "counts": b"hash",
}
PLACES = ("processing", "failed", "scheduled", "priority")
FIELDS = ("state", "listed", "token", "attempts", "max_attempts", "exception", "enqueued_at")


def check(queue: Queue) -> list[str]:
    """Return what does not hold of a queue, in sentences; of very many the first ones.

    Each job is in one place, once, and says so itself; who holds it is a known worker; its
    attempts and its token keep their bounds; nothing it was pushed with is lost, nor why
    it failed; `counts` tells how many ids in the list are no longer jobs to run.
    Raises RedisError.
    """
    found = list(islice(_violations(queue), LIMIT))
    return [*found, f"Only the first {LIMIT} are listed."] if len(found) == LIMIT else found


def _violations(queue: Queue) -> Iterator[str]:
    if wrong := _wrong_types(queue):
        yield from wrong
        return
    for ids in _chunks(_ids(queue), CHUNK):
        yield from _wrong_jobs(queue, ids)
    for ids in _chunks(_ids_without_key(queue), CHUNK):
        yield from _wrong_jobs(queue, ids)
    yield from _unknown_owners(queue)
    yield from _wrong_count(queue)


def _wrong_types(queue: Queue) -> list[str]:
    found = _ask(queue, [("TYPE", _key(queue, name)) for name in INDEXES])
    return [
        f"{_key(queue, name)} is a {type.decode()}, not a {INDEXES[name].decode()}."
        for name, type in zip(INDEXES, found, strict=True)
        if type not in (INDEXES[name], b"none")
    ]


# What is seen of a job, and what is wrong with it.


@dataclass(slots=True)
class Seen:
    """What matters of a job's hash (nothing where there is none), and where its id stands."""

    hash: dict[str, bytes]
    places: list[str]

    @property
    def state(self) -> str:
        """Return what the job says of itself."""
        return _text(self.hash.get("state", b"active"))

    @property
    def stopped(self) -> bool:
        """Say whether it was stopped while in the list: its id stays there until claim drops it."""
        return self.state == "cancelled" or "listed" in self.hash

    def wrongs(self) -> Iterator[str]:
        """Yield what is wrong with the job."""
        state = self.state
        if not self.hash:
            if lost := [place for place in self.places if place != "active"]:
                yield f"is in {_and(lost)} and has no hash"
            return
        expected = [state] * (state != "cancelled") + ["active"] * self.stopped
        if Counter(self.places) != Counter(expected):
            yield f"says that it is {state} and is in {_and(self.places) or 'no place'}"
        if state == "cancelled":
            return
        if "payload" not in self.hash:
            yield "has lost its payload"
        if state == "failed" and "exception" not in self.hash:
            yield "does not say why it failed"
        yield from self._wrong_numbers()

    def _wrong_numbers(self) -> Iterator[str]:
        token, attempts, most = (
            _number(self.hash.get(name), default)
            for name, default in (("token", 0), ("attempts", 0), ("max_attempts", MAX_ATTEMPTS))
        )
        if attempts > most:
            yield f"has made {attempts} attempts of {most}"
        if attempts > token:
            yield f"has made {attempts} attempts with {token} claims"
        if attempts < 1 and self.state == "processing":
            yield "runs and its attempt was not counted"


def _wrong_jobs(queue: Queue, ids: Collection[bytes]) -> Iterator[str]:
    first = _look(queue, ids)
    again = _look(queue, first) if first else {}
    for id, seen in again.items():
        if seen == first[id]:
            yield from (f"Job {_name(id)} {wrong}." for wrong in seen.wrongs())


def _look(queue: Queue, ids: Collection[bytes]) -> dict[bytes, Seen]:
    """Return those of the jobs that look wrong."""
    found: dict[bytes, Seen] = {}
    for page in _chunks(ids, MOMENT):
        found |= _moment(queue, page)
    for page in _list_pages(queue):
        for id in page:
            if id in found:
                found[id].places.append("active")
    return {id: seen for id, seen in found.items() if any(seen.wrongs())}


def _moment(queue: Queue, ids: Sequence[bytes]) -> dict[bytes, Seen]:
    """Read jobs, and all places but the list, at one moment."""
    commands: list[Sequence[Any]] = [("HMGET", _key(queue, "processing"), *ids)]
    commands += [("ZMSCORE", _key(queue, name), *ids) for name in PLACES[1:]]
    for id in ids:
        commands += [("HMGET", _job(queue, id), *FIELDS), ("HEXISTS", _job(queue, id), "payload")]
    replies = _ask(queue, commands, transaction=True)
    held, jobs = checked(replies[: len(PLACES)]), replies[len(PLACES) :]
    found = {}
    for n, (id, fields, payload) in enumerate(zip(ids, jobs[::2], jobs[1::2], strict=True)):
        hash = {} if _is_wrong_type(fields) else dict(zip(FIELDS, fields, strict=True))
        hash["payload"] = b"" if payload == 1 else None
        places = [name for name, place in zip(PLACES, held, strict=True) if place[n] is not None]
        found[id] = Seen(
            {name: value for name, value in hash.items() if value is not None},
            ["active" if place == "priority" else place for place in places],
        )
    return found


def _unknown_owners(queue: Queue) -> Iterator[str]:
    processing, workers = _key(queue, "processing"), _key(queue, "workers")
    for page in _pages(queue, "processing"):
        (leases,) = _ask(queue, [("ZMSCORE", workers, *page.values())]) if page else [[]]
        lost = [item for item, lease in zip(page.items(), leases, strict=True) if lease is None]
        for id, worker in lost:
            again = [("HGET", processing, id), ("ZSCORE", workers, worker)]
            if _ask(queue, again, transaction=True) == [worker, None]:
                yield f"Job {_name(id)} is held by {_name(worker)}, which is not among the workers."


def _wrong_count(queue: Queue) -> Iterator[str]:
    """Compare `counts` with the list, if neither changes meanwhile: else nothing can be said."""
    found = 0
    with queue.client.pipeline() as watch:
        watch.watch(_key(queue, "active"), _key(queue, "counts"))
        for page in _list_pages(queue):
            for ids in _chunks(page, MOMENT):
                found += sum(seen.stopped for seen in _moment(queue, ids).values())
        watch.multi()
        watch.hget(_key(queue, "counts"), "cancelled")
        try:
            counted = _number(watch.execute()[0], 0)
        except WatchError:
            return
    if counted != found:
        yield f"counts says that {counted} ids in the list are of stopped jobs; {found} are."


# Reading, page by page.


def _ids(queue: Queue) -> Iterator[bytes]:
    """Yield the ids of all jobs that have a key; some of them twice."""
    skip = len(_job(queue, b""))
    for key in queue.client.scan_iter(match=_job(queue, b"*"), count=PAGE):
        yield key[skip:]


def _ids_without_key(queue: Queue) -> Iterator[bytes]:
    for name in PLACES:
        for page in _pages(queue, name):
            found = _ask(queue, [("EXISTS", _job(queue, id)) for id in page])
            yield from (id for id, exists in zip(page, found, strict=True) if not exists)


def _pages(queue: Queue, name: str) -> Iterator[dict[bytes, Any]]:
    """Yield a hash or a sorted set in pages."""
    client: Any = queue.client
    scan = client.hscan if INDEXES[name] == b"hash" else client.zscan
    cursor = None
    while cursor != 0:
        cursor, page = scan(_key(queue, name), cursor or 0, count=PAGE)
        yield dict(page)


def _list_pages(queue: Queue) -> Iterator[list[bytes]]:
    """Yield the list from the left in pages; what stays in it meanwhile comes exactly once.

    Pushes move everything to the right, so each page is looked up from the last id before
    it. If that one was claimed, so was all that stood behind it.
    """
    client: Any = queue.client
    place, last, more = -1, None, True
    while more:
        first = max(place, 0)
        page = client.lrange(_key(queue, "active"), first, first + PAGE - 1)
        more = len(page) == PAGE
        if last in page:
            place, page = first + page.index(last), page[page.index(last) + 1 :]
        elif last is not None:
            place += len(page)
            continue
        if page:
            yield page
            last, place = page[-1], place + len(page)


def _ask(
    queue: Queue, commands: Iterable[Sequence[Any]], *, transaction: bool = False
) -> list[Any]:
    """Send commands in one round trip. Raises RedisError, but for keys of a wrong type."""
    with queue.client.pipeline(transaction=transaction) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
    checked([reply for reply in replies if not _is_wrong_type(reply)])
    return replies


def _is_wrong_type(reply: object) -> bool:
    return isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE")


def _chunks(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def _key(queue: Queue, name: str) -> str:
    return f"{queue.root}:{name}"


def _job(queue: Queue, id: bytes) -> bytes:
    return keys.job(queue.root, "").encode() + id


def _number(value: bytes | None, default: int) -> int:
    return int(value) if value is not None and value.lstrip(b"-").isdigit() else default


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _name(id: bytes) -> str:
    return _text(id[:100])


def _and(places: Iterable[str]) -> str:
    return " and ".join(
        place if times == 1 else f"{place} ({times} times)"
        for place, times in Counter(places).items()
    )
