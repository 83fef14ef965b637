"""What an idle worker waits for: a hint from Redis, an outcome, the supervisor's word."""

import os
import select
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from django_jobs.line import Line
from django_jobs.lines import Placed


class Rest:
    """Sleeps until there is something to do; `ring` wakes it from another thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._hints: dict[Redis, Line] = {}
        self._asked: set[Line] = set()  # on these a BLPOP is under way
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)
        self._asleep = False

    def ring(self) -> None:
        """Wake the main thread if it sleeps."""
        if self._asleep:
            self._asleep = False  # one is enough, and a write gives the GIL away
            try:
                os.write(self._in, b"!")
            except BlockingIOError:
                return

    def ask(self, queues: Iterable[Placed], seconds: float) -> dict[Redis, Exception]:
        """Let Redis wake it by a hint to one of these queues; return which do not, and why."""
        troubles: dict[Redis, Exception] = {}
        wakes: dict[Redis, list[str]] = {}
        for queue in queues:
            wakes.setdefault(queue.client, []).append(f"{queue.root}:wake")
        for client, names in wakes.items():
            line = self._hints.setdefault(client, Line(client, socket_timeout=None))
            if line in self._asked:
                continue
            try:
                line.send("BLPOP", *names, seconds)
                self._asked.add(line)
            except (RedisError, OSError) as error:
                troubles[client] = error
        return troubles

    def sleep(self, seconds: float, busy: Callable[[], object]) -> bool:
        """Sleep, unless `busy` says that there is work; return whether to look into Redis."""
        files: list[Any] = [self._pipe, self._out, *self._asked]
        self._asleep = True
        ready = [] if busy() else select.select(files, [], [], max(0.0, seconds))[0]
        self._asleep = False
        if self._out in ready:
            os.read(self._out, 4096)
        hints = [self._take_hint(line) for line in self._asked.intersection(ready)]
        return any(hints)

    def close(self) -> None:
        """Hang up."""
        for client in list(self._hints):
            self.hang_up(client)

    def hang_up(self, client: Redis) -> None:
        """Wait for no more hints from this Redis."""
        if line := self._hints.pop(client, None):
            self._asked.discard(line)
            line.close()

    def _take_hint(self, line: Line) -> bool:
        self._asked.remove(line)
        try:
            return line.receive() is not None
        except (RedisError, OSError):
            return True
