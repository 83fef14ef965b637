"""How calls reach Redis: in order, each batch one round trip, never in MULTI.

MULTI is refused when Redis is full. redis-py's own client would do, but for what it costs:
a third of a push.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from hiredis import pack_command
from redis import ConnectionPool, Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from django_jobs.scripts import FOLDER, Call, Value, get_script

_pack = cast(Callable[[tuple[Value, ...]], bytes], pack_command)  # its own types allow one value


def run(client: Redis, call: Call) -> Any:
    """Send one call and return the reply; see `run_many`."""
    return run_many(client, [call])[0]


def run_many(client: Redis, calls: Sequence[Call]) -> list[Any]:
    """Send calls in one round trip; again, once, if an answer was lost. Raises RedisError.

    Every script does nothing more when it is repeated; a claim would: `Line` is for those.
    """
    idle = _idle.setdefault(client.connection_pool, deque())
    try:
        line = idle.pop()
    except IndexError:
        line = Line(client)
    line.connect()  # fails after the client's own retries
    try:
        replies = line.run(calls)
    except (Disconnected, TimedOut, OSError):
        replies = line.run(calls)
    idle.append(line)
    return checked(replies)


def hang_up() -> None:
    """Close every connection that `run_many` keeps for its next call."""
    while _idle:
        for line in _idle.popitem()[1]:
            line.close()


_idle: dict[ConnectionPool, "deque[Line]"] = {}
os.register_at_fork(after_in_child=_idle.clear)


def checked(replies: list[Any]) -> list[Any]:
    """Return the replies. Raises the first of them that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


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

    def connect(self) -> None:
        """Connect, unless that was done. Raises RedisError."""
        if self._connection is not None:
            return
        if self._overrides:
            settings = {**self._pool.connection_kwargs, **self._overrides}
            self._connection = self._pool.connection_class(**settings)
        else:
            self._connection = self._pool.get_connection()
        try:
            self._connection.connect()
            if self._preload:
                self._load()
        except (RedisError, OSError):
            self.close()
            raise

    def send(self, *command: Value) -> None:
        """Send a command whose reply is read later, by `receive`. Raises RedisError."""
        self._send([command])

    def receive(self) -> Any:
        """Read one reply. Raises RedisError."""
        (reply,) = self._receive(1)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def answers(self, seconds: float) -> bool:
        """Say whether something can be read by then. Raises RedisError."""
        return self._connection is None or bool(self._connection.can_read(seconds))

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
            self.connect()
            self._connection.send_packed_command([data], check_health=False)
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
                except ReadOnlyError as error:
                    raise Disconnected("It is a replica: the master is another one.") from error
                except ResponseError as error:
                    replies.append(error)
        except (RedisError, OSError):
            self.close()
            raise
        return replies

    def _load(self) -> None:
        """Load every script: calls of one round trip then run in the order they were sent."""
        names = sorted(path.stem for path in FOLDER.glob("[a-z]*.lua"))
        self._send([("SCRIPT", "LOAD", get_script(name).text) for name in names])
        self._receive(len(names))
