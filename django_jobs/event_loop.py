"""Runs async handlers as tasks of one event loop, in a thread that is made when needed."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async

from django_jobs import databases
from django_jobs.caught import Caught
from django_jobs.handlers import Handler
from django_jobs.job import Claimed

IDLE = 1.0  # seconds without a run until the database connections are closed

Run = Callable[[Claimed, Handler], Any]  # returns what is to be awaited
End = Callable[[Claimed, Handler, BaseException | None, Any], None]


class EventLoop:
    """Awaits what `run` returns; `end` is called on the loop with what it raised, or returned."""

    def __init__(self, run: Run, end: End) -> None:
        self._run = run
        self._end = end
        self._tasks: dict[Claimed, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None  # asgiref's, in which async code talks to databases
        self._resting = False

    def submit(self, claimed: Claimed, handler: Handler) -> None:
        """Begin a run; from any thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=self._loop.run_forever, name="django_jobs-loop", daemon=True
            ).start()
        self._loop.call_soon_threadsafe(self._spawn, claimed, handler)

    def cancel(self, claimed: Claimed, error: type[BaseException]) -> None:
        """Let a run end with this error, if it is still under way; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, claimed, error)

    # On the loop.

    def _spawn(self, claimed: Claimed, handler: Handler) -> None:
        self._tasks[claimed] = asyncio.get_running_loop().create_task(self._live(claimed, handler))

    def _cancel(self, claimed: Claimed, error: type[BaseException]) -> None:
        if claimed in self._tasks:
            self._tasks[claimed].cancel(error)

    async def _live(self, claimed: Claimed, handler: Handler) -> None:
        result = None
        with Caught(BaseException) as caught:
            result = await self._run(claimed, handler)
        del self._tasks[claimed]
        self._end(claimed, handler, _reason(caught.error), result)
        await self._tidy()

    async def _tidy(self) -> None:
        """Look after the connections of the thread in which async code talks to databases."""
        if self._thread is None:
            self._thread = await sync_to_async(threading.get_ident)()
        if not databases.used_by(self._thread):
            return
        await sync_to_async(databases.tidy)(idle=False)
        if self._tasks or self._resting:
            return
        self._resting = True
        await asyncio.sleep(IDLE)
        self._resting = False
        if not self._tasks:
            await sync_to_async(databases.tidy)(idle=True)


def _reason(error: BaseException | None) -> BaseException | None:
    """Return the error that a cancellation stands for."""
    if isinstance(error, asyncio.CancelledError) and error.args and isinstance(error.args[0], type):
        reason: BaseException = error.args[0]()
        return reason
    return error
