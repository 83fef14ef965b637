"""Calls to queues that may be on several Redises, as in a cluster, made as if there were one."""

import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as TimedOut

from django_jobs.line import Line
from django_jobs.scripts import Call
from django_jobs.spread import claim_in_turn, join, split


class Placed(Protocol):
    """What a queue must say of itself here."""

    @property
    def root(self) -> str:
        """The key under which everything of it lives."""

    @property
    def client(self) -> Redis:
        """Where that is."""


@dataclass(slots=True)
class Batch:
    """Calls that are under way, each with what was sent for it, and on which lines."""

    calls: list[tuple[Call, list[Call]]] = field(default_factory=list)
    sent: dict[Line, list[Call]] = field(default_factory=dict)
    failed: dict[Line, Exception] = field(default_factory=dict)


class Lines:
    """A line to each Redis that some queues are on; there may be more `queues` later."""

    def __init__(self, queues: Collection[Placed], **options: Any) -> None:
        self._queues = queues
        self._timeout: float = options.get("socket_timeout", 1.0)
        self._options = options
        self._clients: dict[str, Redis] = {}  # by root
        self._lines: dict[Redis, Line] = {}
        self._under_way: deque[Batch] = deque()
        self._troubles: dict[Redis, Exception] = {}

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send calls, to each Redis in one round trip; an error is the reply of its calls."""
        self.begin(calls)
        return self.finish()

    def begin(self, calls: Sequence[Call]) -> None:
        """Send calls, whose replies `finish` reads, in the order of their sending.

        A claim from several Redises is made by `finish`: let it be in the last batch.
        """
        batch = Batch()
        for call in calls:
            parts = [call]
            if len({self._client_of(root) for root in call.keys[::2]}) > 1:
                parts = [] if call.script.name == "claim" else split(call)
            batch.calls.append((call, parts))
            for part in parts:
                batch.sent.setdefault(self._line_of(part), []).append(part)
        for line, parts in batch.sent.items():
            try:
                line.begin(parts)
            except (RedisError, OSError) as error:
                self._fail(line, error, batch)
        if calls:
            self._under_way.append(batch)

    def finish(self) -> list[Any]:
        """Return the replies to the oldest `begin` that is under way; see `run`."""
        batch, until = self._under_way.popleft(), time.monotonic() + self._timeout
        replies: dict[int, Any] = {}
        for line, parts in batch.sent.items():
            for part, reply in zip(parts, self._read(line, batch, until), strict=True):
                replies[id(part)] = reply
                if isinstance(reply, Exception):
                    self._troubles.setdefault(self._client_of(part.keys[0]), reply)
        return [
            replies[id(call)]
            if parts == [call]
            else join(call, [replies[id(part)] for part in parts])
            if parts
            else claim_in_turn(call, lambda part: self.run([part])[0])
            for call, parts in batch.calls
        ]

    def troubles(self) -> dict[Redis, Exception]:
        """Return which Redises have failed since this was asked last, and how."""
        found, self._troubles = self._troubles, {}
        return found

    def close(self) -> None:
        """Hang up, whatever is under way; the next call connects again."""
        self._under_way.clear()
        for line in self._lines.values():
            line.close()

    def _read(self, line: Line, batch: Batch, until: float) -> list[Any]:
        """Read a line's replies; all lines together may take no longer than one."""
        if line not in batch.failed:
            try:
                if len(batch.sent) > 1 and not line.answers(max(0.0, until - time.monotonic())):
                    line.close()
                    raise TimedOut("There was no answer in time.")
                return line.finish()
            except (RedisError, OSError) as error:
                self._fail(line, error, batch)
        return [batch.failed[line]] * len(batch.sent[line])

    def _fail(self, line: Line, error: Exception, batch: Batch) -> None:
        """Note that nothing more comes on a line, for whatever is under way."""
        for other in (batch, *self._under_way):
            other.failed.setdefault(line, error)

    def _line_of(self, call: Call) -> Line:
        client = self._client_of(call.keys[0])
        if client not in self._lines:
            self._lines[client] = Line(client, **self._options)
        return self._lines[client]

    def _client_of(self, root: str) -> Redis:
        if root not in self._clients:
            self._clients = {queue.root: queue.client for queue in self._queues}
        return self._clients[root]
