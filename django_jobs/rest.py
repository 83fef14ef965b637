"""What an idle worker waits for: a hint from Redis, an outcome, the supervisor's word."""

import os
import select
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from django_jobs.line import Line


class Rest:
    """Sleeps until there is something to do; `ring` wakes it from another thread."""

    def __init__(self, client: Redis, pipe: Connection) -> None:
        self._pipe = pipe
        self._hints = Line(client, socket_timeout=None)
        self._asked = False  # a BLPOP is under way
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

    def ask(self, wakes: Sequence[str], seconds: float) -> None:
        """Let Redis wake it by a hint on one of these lists. Raises RedisError."""
        if self._asked:
            return
        try:
            self._hints.send("BLPOP", *wakes, seconds)
        except (RedisError, OSError):
            self.close()
            raise
        self._asked = True

    def sleep(self, seconds: float, busy: Callable[[], object]) -> bool:
        """Sleep, unless `busy` says that there is work; return whether to look into Redis."""
        files: list[Any] = [self._pipe, self._out]
        if self._asked:
            files.append(self._hints.fileno())
        self._asleep = True
        ready = [] if busy() else select.select(files, [], [], max(0.0, seconds))[0]
        self._asleep = False
        if self._out in ready:
            os.read(self._out, 4096)
        return self._asked and files[-1] in ready and self._take_hint()

    def close(self) -> None:
        """Hang up."""
        self._asked = False
        self._hints.close()

    def _take_hint(self) -> bool:
        self._asked = False
        try:
            return self._hints.receive() is not None
        except (RedisError, OSError):
            self._hints.close()
            return True
