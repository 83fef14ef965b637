"""Proof of life for pulls: one daemon thread a process, for those without a supervisor."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable

from django_jobs.caught import Caught

log = logging.getLogger("django_jobs")

Beat = Callable[[], object]

TICK = 0.2  # seconds; beats are this late at most
LINGER = 5.0  # seconds the thread stays when there is nothing to beat for


class Heart:
    """Calls every beat added to it at its interval, from one thread made when needed."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as a new process must."""
        self._lock = threading.Lock()
        self._beats: dict[int, tuple[float, float, Beat]] = {}  # due, interval, beat
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, interval: float, beat: Beat) -> int:
        """Call `beat` every `interval` seconds from now on; return what removes it."""
        with self._lock:
            number = next(self._numbers)
            self._beats[number] = (time.monotonic() + interval, interval, beat)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="django_jobs-beats", daemon=True
                )
                self._thread.start()
            return number

    def remove(self, number: int) -> None:
        """Stop calling it; a call that is under way may still end."""
        with self._lock:
            self._beats.pop(number, None)

    def _run(self) -> None:
        needed = time.monotonic()
        while True:
            time.sleep(TICK)
            now = time.monotonic()
            with self._lock:
                if self._beats:
                    needed = now
                elif now - needed > LINGER:
                    self._thread = None
                    return
                due = [n for n, (at, _, _) in self._beats.items() if at <= now]
                beats = [self._postpone(number, now) for number in due]
            for beat in beats:
                with Caught() as caught:
                    beat()
                if caught.error is not None:  # one lost beat is harmless
                    log.warning("A beat did not reach Redis: %s", caught.error)

    def _postpone(self, number: int, now: float) -> Beat:
        _, interval, beat = self._beats[number]
        self._beats[number] = (now + interval, interval, beat)
        return beat


heart = Heart()

# A thread and a held lock do not survive a fork: the child begins anew, in place.
os.register_at_fork(after_in_child=heart.reset)
