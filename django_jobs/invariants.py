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

from redis.exceptions import WatchError

from django_jobs.job import MAX_ATTEMPTS
from django_jobs.line import checked
from django_jobs.queue import Queue
from django_jobs.scanning import (
    INDEXES,
    PLACES,
    ask,
    chunks,
    ids_without_key,
    is_wrong_type,
    job,
    key,
    list_pages,
    pages,
)
from django_jobs.scanning import ids as all_ids

LIMIT = 1000  # sentences
CHUNK = 50_000  # jobs kept in memory at once
MOMENT = 200  # jobs read in one transaction

WAITING = ("priority", "limited")  # places of active jobs beside the list

FIELDS = (
    "state",
    "listed",
    "token",
    "attempts",
    "max_attempts",
    "exception",
    "group",
    "enqueued_at",
)


def check(queue: Queue) -> list[str]:
    """Return what does not hold of a queue, in sentences; of very many the first ones.

    Each job is in one place, once, and says so itself; who holds it is a known worker; its
    attempts and its token keep their bounds; nothing it was pushed with is lost, nor why
    it failed; `counts` tells how many ids in the list are no longer jobs to run, and `meta`
    when the first schedule is due.
    Raises RedisError.
    """
    found = list(islice(_violations(queue), LIMIT))
    return [*found, f"Only the first {LIMIT} are listed."] if len(found) == LIMIT else found


def _violations(queue: Queue) -> Iterator[str]:
    if wrong := _wrong_types(queue):
        yield from wrong
        return
    for ids in chunks(all_ids(queue), CHUNK):
        yield from _wrong_jobs(queue, ids)
    for ids in chunks(ids_without_key(queue), CHUNK):
        yield from _wrong_jobs(queue, ids)
    yield from _unknown_owners(queue)
    yield from _wrong_count(queue)
    yield from _wrong_groups(queue)
    yield from _wrong_schedules(queue)
    yield from _wrong_keys(queue)


def _wrong_types(queue: Queue) -> list[str]:
    found = ask(queue, [("TYPE", key(queue, name)) for name in INDEXES])
    return [
        f"{key(queue, name)} is a {type.decode()}, not a {INDEXES[name].decode()}."
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
            may_be_gone = ("active", "succeeded")  # to be dropped, and kept long enough
            if lost := [place for place in self.places if place not in may_be_gone]:
                yield f"is in {_and(lost)} and has no hash"
            return
        expected = [state] * (state != "cancelled") + ["active"] * self.stopped
        if Counter(self.places) != Counter(expected):
            yield f"says that it is {state} and is in {_and(self.places) or 'no place'}"
        if state == "cancelled":
            return
        if "payload" not in self.hash:
            yield "has lost its payload"
        if state == "failed" and not {"exception", "group"} <= self.hash.keys():
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
    for page in chunks(ids, MOMENT):
        found |= _moment(queue, page)
    for page in list_pages(queue):
        for id in page:
            if id in found:
                found[id].places.append("active")
    return {id: seen for id, seen in found.items() if any(seen.wrongs())}


def _moment(queue: Queue, ids: Sequence[bytes]) -> dict[bytes, Seen]:
    """Read jobs, and all places but the list, at one moment."""
    commands: list[Sequence[Any]] = [("HMGET", key(queue, "processing"), *ids)]
    commands += [("ZMSCORE", key(queue, name), *ids) for name in PLACES[1:]]
    for id in ids:
        commands += [("HMGET", job(queue, id), *FIELDS), ("HEXISTS", job(queue, id), "payload")]
    replies = ask(queue, commands, transaction=True)
    held, jobs = checked(replies[: len(PLACES)]), replies[len(PLACES) :]
    found = {}
    for n, (id, fields, payload) in enumerate(zip(ids, jobs[::2], jobs[1::2], strict=True)):
        hash = {} if is_wrong_type(fields) else dict(zip(FIELDS, fields, strict=True))
        hash["payload"] = b"" if payload == 1 else None
        places = [name for name, place in zip(PLACES, held, strict=True) if place[n] is not None]
        found[id] = Seen(
            {name: value for name, value in hash.items() if value is not None},
            ["active" if place in WAITING else place for place in places],
        )
    return found


def _unknown_owners(queue: Queue) -> Iterator[str]:
    processing, workers = key(queue, "processing"), key(queue, "workers")
    for page in pages(queue, "processing"):
        (leases,) = ask(queue, [("ZMSCORE", workers, *page.values())]) if page else [[]]
        lost = [item for item, lease in zip(page.items(), leases, strict=True) if lease is None]
        for id, worker in lost:
            again = [("HGET", processing, id), ("ZSCORE", workers, worker)]
            if ask(queue, again, transaction=True) == [worker, None]:
                yield f"Job {_name(id)} is held by {_name(worker)}, which is not among the workers."


def _wrong_count(queue: Queue) -> Iterator[str]:
    """Compare `counts` with the list, if neither changes meanwhile: else nothing can be said."""
    found = 0
    with queue.client.pipeline() as watch:
        watch.watch(key(queue, "active"), key(queue, "counts"))
        for page in list_pages(queue):
            for ids in chunks(page, MOMENT):
                found += sum(seen.stopped for seen in _moment(queue, ids).values())
        watch.multi()
        watch.hget(key(queue, "counts"), "cancelled")
        try:
            counted = _number(watch.execute()[0], 0)
        except WatchError:
            return
    if counted != found:
        yield f"counts says that {counted} ids in the list are of stopped jobs; {found} are."


def _wrong_groups(queue: Queue) -> Iterator[str]:
    """Compare `groups` with the groups' sizes, and those with `failed`, all at one moment."""
    names = [name for page in pages(queue, "groups") for name in page]
    commands: list[Sequence[Any]] = [
        ("HLEN", key(queue, "groups")),
        ("ZCARD", key(queue, "failed")),
    ]
    for name in names:
        commands += [
            ("HGET", key(queue, "groups"), name),
            ("ZCARD", key(queue, "group:").encode() + name),
        ]
    number, failed, *found = checked(ask(queue, commands, transaction=True))
    if number != len(names):
        return  # a group came or went meanwhile
    for name, counted, size in zip(names, found[::2], found[1::2], strict=True):
        if _number(counted, 0) != size:
            yield f"groups says that {_number(counted, 0)} jobs are in {_name(name)}; {size} are."
    if sum(found[1::2]) != failed:
        yield f"{failed} jobs are in failed, and {sum(found[1::2])} in its groups."


def _wrong_schedules(queue: Queue) -> Iterator[str]:
    """Look for names without a definition, and compare `meta` with what is due first."""
    names = [name for page in pages(queue, "schedules") for name in page]
    commands: list[Sequence[Any]] = [
        ("ZRANGE", key(queue, "schedules"), 0, 0, "WITHSCORES"),
        ("HGET", key(queue, "meta"), "schedules_at"),
    ]
    for name in names:
        commands += [
            ("ZSCORE", key(queue, "schedules"), name),
            ("HGET", key(queue, "schedule:").encode() + name, "since"),
        ]
    first, noted, *found = ask(queue, commands, transaction=True)
    for name, due, since in zip(names, found[::2], found[1::2], strict=True):
        if due is not None and (since is None or is_wrong_type(since)):
            yield f"Schedule {_name(name)} has lost its definition."
    due = first[1] if first and first[1] != b"inf" else None
    if noted != due and not is_wrong_type(noted):
        yield f"meta says that a schedule is due at {noted}; the first is at {due}."


def _wrong_keys(queue: Queue) -> Iterator[str]:
    """Look at the limit keys: what runs is counted, and who has work and room has a turn."""
    counts = [("HVALS", key(queue, "running")), ("HLEN", key(queue, "keyed"))]
    running, keyed = checked(ask(queue, counts, transaction=True))
    if (counted := sum(_number(value, 0) for value in running)) != keyed:
        yield f"running counts {counted} jobs with a limit key; keyed has {keyed}."
    for page in pages(queue, "limit"):
        for names in chunks(page, MOMENT):
            commands: list[Sequence[Any]] = []
            for name in names:
                commands += [
                    ("HMGET", key(queue, "limit"), name),
                    ("HMGET", key(queue, "running"), name),
                    ("LLEN", key(queue, "key:").encode() + name),
                    ("ZSCORE", key(queue, "ring"), name),
                ]
            found = iter(ask(queue, commands, transaction=True))
            for name, (limit,), (runs,), size, turn in zip(names, *[found] * 4, strict=True):
                if is_wrong_type(size):
                    yield f"{key(queue, 'key:')}{_name(name)} is not a list."
                elif size and turn is None and _number(runs, 0) < _number(limit, 1):
                    yield f"Limit key {_name(name)} has work and room, and no turn in ring."


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
