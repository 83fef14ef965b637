"""Lua scripts: loading them, and sending calls of them to Redis.

A script is the file of its name in `lua/`, with the prelude put in after its first
line, because `#!` must be the first bytes.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from hiredis import pack_command
from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

FOLDER = Path(__file__).parent / "lua"
PRELUDE = ("_keys", "_place", "_fail", "_return", "_operate")
PRELUDE_OF = {"claim": ("_claim", "_take", "_alarm"), "sweep": ("_sweep",)}

Value = str | bytes | int | float

_pack = cast(Callable[[tuple[Value, ...]], bytes], pack_command)  # its own types allow one value


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name Redis gives it."""

    name: str
    text: str
    sha: str


@cache
def get_script(name: str) -> Script:
    """Return the script `lua/<name>.lua` with its prelude."""
    first, rest = _read(name).split("\n", 1)
    parts = [_read(part) for part in PRELUDE + PRELUDE_OF.get(name, ())]
    text = "\n".join([first, *parts, rest])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Call:
    """One script with its keys and arguments, ready to be sent."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Value]

    def command(self, *, whole: bool = False) -> tuple[Value, ...]:
        """Return the Redis command; `whole` sends the text, for a server that lost it."""
        verb, body = ("EVAL", self.script.text) if whole else ("EVALSHA", self.script.sha)
        return (verb, body, len(self.keys), *self.keys, *self.args)


def run(client: Redis, call: Call) -> Any:
    """Send one call over a client's pool, with the client's retries; return the reply."""
    try:
        return client.execute_command(*call.command())
    except NoScriptError:
        return client.execute_command(*call.command(whole=True))


def run_many(client: Redis, calls: Sequence[Call]) -> list[Any]:
    """Send calls in one round trip, never in MULTI (refused when Redis is full)."""
    replies = _pipeline(client, [call.command() for call in calls])
    lost = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    again = _pipeline(client, [calls[i].command(whole=True) for i in lost])
    for i, reply in zip(lost, again, strict=True):
        replies[i] = reply
    return checked(replies)


def checked(replies: list[Any]) -> list[Any]:
    """Return the replies. Raises the first of them that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _pipeline(client: Redis, commands: list[tuple[Value, ...]]) -> list[Any]:
    if not commands:
        return []
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)


class Line:
    """A connection of one's own that sends each call once: nothing is repeated unasked.

    What claims jobs uses it. A claim that is sent twice would take jobs that nobody
    knows of (redis-py's clients repeat a command whose reply is lost). With `preload`
    the server gets every script at each connect.
    """

    def __init__(self, client: Redis, *, preload: bool = False, **overrides: Any) -> None:
        self._preload = preload
        self._pool = client.connection_pool
        self._overrides = overrides
        self._connection: Any = None
        self._under_way: deque[Sequence[Call]] = deque()

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send calls in one round trip; a reply may be a RedisError. Raises RedisError.

        After an error that is raised nobody knows which of the calls were done.
        """
        self.begin(calls)
        return self.finish()

    def begin(self, calls: Sequence[Call]) -> None:
        """Send calls, whose replies `finish` reads, in the order of their sending."""
        if calls:
            self._send([call.command() for call in calls])
            self._under_way.append(calls)

    def finish(self) -> list[Any]:
        """Return the replies to the oldest `begin` that is under way; see `run`."""
        calls = self._under_way.popleft()
        replies = self._receive(len(calls))
        lost = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if lost and self._under_way:
            self.close()  # the order would not be kept; a new connection loads them first
            raise replies[lost[0]]
        if lost:
            self._send([calls[i].command(whole=True) for i in lost])
            for i, reply in zip(lost, self._receive(len(lost)), strict=True):
                replies[i] = reply
        return replies

    def send(self, *command: Value) -> None:
        """Send a command whose reply is read later, by `receive`. Raises RedisError."""
        self._send([command])

    def receive(self) -> Any:
        """Read one reply. Raises RedisError."""
        (reply,) = self._receive(1)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait for a reply; -1 if not connected."""
        if self._connection is None:
            return -1
        return int(self._connection._sock.fileno())  # noqa: SLF001

    def close(self) -> None:
        """Hang up, whatever is under way; the next call connects again."""
        self._under_way.clear()
        if self._connection is not None:
            self._connection.disconnect()
        self.release()

    def release(self) -> None:
        """Give the connection back as it is, for whoever uses the client next."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._overrides:
            self._pool.release(connection)

    def _send(self, commands: Sequence[tuple[Value, ...]]) -> None:
        try:
            data = b"".join(map(_pack, commands))
            self._connect().send_packed_command([data], check_health=False)
        except (RedisError, OSError):
            self.close()
            raise

    def _receive(self, count: int) -> list[Any]:
        connection, replies = self._connection, []
        if connection is None:
            raise RedisError("The connection was closed before its answer was read.")
        try:
            for _ in range(count):
                try:
                    replies.append(connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except (RedisError, OSError):
            self.close()
            raise
        return replies

    def _connect(self) -> Any:
        if self._connection is None:
            pool = self._pool
            if self._overrides:
                settings = {**pool.connection_kwargs, **self._overrides}
                self._connection = pool.connection_class(**settings)
            else:
                self._connection = pool.get_connection()
            self._connection.connect()
            if self._preload:
                self._load()
        return self._connection

    def _load(self) -> None:
        """Load every script: calls of one round trip then run in the order they were sent."""
        names = sorted(path.stem for path in FOLDER.glob("[a-z]*.lua"))
        self._send([("SCRIPT", "LOAD", get_script(name).text) for name in names])
        self._receive(len(names))
