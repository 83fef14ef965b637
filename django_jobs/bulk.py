"""Many jobs at once, in steps that never hold Redis up: retry, discard, empty.

What is done is fixed at the beginning: the jobs that had failed by then. One that fails
again meanwhile is left alone.
"""

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from django_jobs.line import run_many
from django_jobs.monitor.counts import all_stats, server_time
from django_jobs.monitor.pages import Source, counts
from django_jobs.monitor.reading import ask
from django_jobs.queue import Queue
from django_jobs.scripts import Call, get_script

STEP = 1000  # jobs
KEPT = 86_400  # seconds from the last step
STEP_SECONDS = 10  # a step that takes longer was cut short


@dataclass(slots=True)
class Part:
    """What is to be done in one sorted set, or (without a key) in a queue's list."""

    queue: str
    key: str  # latin-1
    since: float
    until: float
    left: int
    skipped: int = 0


@dataclass(slots=True)
class Bulk:
    """A piece of work on many jobs, and how far it is; `spread` in seconds, `began` by its clock."""

    action: str  # retry, discard or empty
    parts: list[Part]
    total: int
    who: str = ""
    what: str = ""  # in words
    spread: float = 0.0
    done: int = 0
    skipped: int = 0
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    began: float = field(default_factory=time.time)

    @property
    def over(self) -> bool:
        """Say whether nothing is left to do."""
        return not any(part.left for part in self.parts)

    def step(self, get_queue: Callable[[str], Queue], limit: int = STEP) -> None:
        """Do up to `limit` jobs, the oldest of each part first. Raises RedisError."""
        for part in self.parts:
            if limit > 0 and part.left:
                limit -= self._do(part, get_queue(part.queue), min(limit, part.left))

    def _do(self, part: Part, queue: Queue, count: int) -> int:
        """Do up to `count` jobs of a part; return how many were looked at."""
        if self.action == "empty":
            deleted, seen = queue.empty(count)
            return self._note(part, deleted, seen)
        command = ("ZRANGEBYSCORE", part.key.encode("latin-1"), repr(part.since), repr(part.until))
        (ids,) = ask(queue, [(*command, "LIMIT", part.skipped, count)])
        calls = [self._call(queue, id, number) for number, id in enumerate(ids or [])]
        moved = sum(answer == 1 for answer in run_many(queue.client, calls)) if calls else 0
        if moved < len(calls):  # those that somebody else took are no longer in the set
            (scores,) = ask(queue, [("ZMSCORE", command[1], *ids)])
            part.skipped += sum(score is not None for score in scores or [])
        return self._note(part, moved, len(calls))

    def _call(self, queue: Queue, id: bytes, number: int) -> Call:
        if self.action == "discard":
            return Call(get_script("discard"), queue.keys, (id,))
        share = (self.done + number) / max(self.total, 1)
        return Call(get_script("retry"), queue.keys, (id, round(1000 * self.spread * share)))

    def _note(self, part: Part, done: int, seen: int) -> int:
        gone = 0 if seen else part.left  # somebody else took them meanwhile
        self.done += done
        self.skipped += seen - done + gone
        part.left -= seen + gone
        return seen


def of_failed(action: str, sources: Sequence[Source], **words: Any) -> Bulk:
    """Return the work to retry or discard what stands in some sources now. Raises RedisError."""
    queues = {source.queue.name: source.queue for source in sources}
    clocks = {name: server_time(queue) for name, queue in queues.items()}
    now = [replace(one, until=min(one.until, clocks[one.queue.name])) for one in sources]
    parts = [
        Part(one.queue.name, one.key.decode("latin-1"), one.since, one.until, count)
        for one, count in counts(now)
    ]
    return Bulk(action, parts, sum(part.left for part in parts), **words)


def of_waiting(queue: Queue, **words: Any) -> Bulk:
    """Return the work to delete what waits in a queue now. Raises RedisError."""
    count = all_stats([queue])[queue.name].active
    return Bulk("empty", [Part(queue.name, "", 0.0, 0.0, count)], count, **words)


def save(queue: Queue, bulk: Bulk) -> None:
    """Keep a piece of work, under the root of a queue, for a day. Raises RedisError."""
    queue.client.set(_key(queue, bulk.id), json.dumps(asdict(bulk)), ex=KEPT)


def load(queue: Queue, id: str) -> Bulk | None:
    """Return a piece of work that is kept; None if there is none. Raises RedisError."""
    (raw,) = ask(queue, [("GET", _key(queue, id))])
    try:
        fields = json.loads(raw or b"")
        return Bulk(**{**fields, "parts": [Part(**part) for part in fields["parts"]]})
    except (ValueError, TypeError, LookupError, RecursionError):  # not ours, or another version's
        return None


def go_on(queue: Queue, id: str, get_queue: Callable[[str], Queue]) -> Bulk | None:
    """Do a step of a piece of work that is kept, unless somebody else does one now."""
    lock = f"{_key(queue, id)}:step"
    if not queue.client.set(lock, 1, nx=True, ex=STEP_SECONDS):
        return load(queue, id)
    try:
        bulk = load(queue, id)
        if bulk is not None and not bulk.over:
            try:
                bulk.step(get_queue)
            finally:  # another queue's Redis may be away
                save(queue, bulk)
        return bulk
    finally:
        queue.client.delete(lock)


def _key(queue: Queue, id: str) -> str:
    return f"{queue.root}:bulk:{id}"
