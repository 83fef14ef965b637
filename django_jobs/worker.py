"""One worker process: settles what is done and claims what there is room for, in one round trip.

The main thread is the only one that settles. Idle, it waits for a hint from Redis, an
outcome from a thread, or word from the supervisor.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from redis.exceptions import RedisError

from django_jobs import flight
from django_jobs.claiming import POLL, Calls, Claiming
from django_jobs.holding import Holding
from django_jobs.job import Claimed, Job
from django_jobs.lines import Lines
from django_jobs.outcome import RELEASED
from django_jobs.queue import Queue
from django_jobs.rest import Rest
from django_jobs.settling import Settling, tell_recovered
from django_jobs.sweeper import Sweeper
from django_jobs.worker_options import WorkerOptions

log = logging.getLogger("django_jobs")

RECYCLE = 75  # exit status: start another one
LONGEST_PAUSE = 5.0  # seconds between tries while Redis is away


class Worker:
    """The main loop of a worker process."""

    def __init__(
        self,
        queues: Sequence[Queue],
        open_queue: Callable[[str], Queue],
        table: flight.FlightTable,
        pipe: Connection,
        options: WorkerOptions,
    ) -> None:
        self.queues = {queue.name: queue for queue in queues}
        self.options = options
        self._open_queue = open_queue
        self._table = table
        self._pipe = pipe
        self._line = Lines(self.queues.values(), preload=True)
        self._rest = Rest(pipe)
        self._holding = Holding(table, options, ring=self._rest.ring, progress=self._progress)
        self._settling = Settling(self._holding.forget)
        self._claiming = Claiming(self.queues, table, options, self._holding, self._settling)
        self._sweeper = Sweeper(options.lease, options.failed_ttl_of, self._claiming.disown)
        self._stopping = self._quiet = False
        self._quiet_until, self._failures = 0.0, 0

    def run(self) -> int:
        """Work until told to stop; return the exit status."""
        while True:
            self._table.turn()
            self._hear()
            self._holding.expire()
            self._collect()
            if self._over():
                return self._end()
            if time.monotonic() < self._quiet_until or not self._round_trip():
                self._holding.start()
                self._wait()

    def _progress(self, job: Job, fraction: float, text: str) -> None:
        self.queues[job.queue].progress_function(self._claiming.id)(job, fraction, text)

    # What comes in.

    def _hear(self) -> None:
        """Take the supervisor's word; without a supervisor there is nothing to live for."""
        try:
            while self._pipe.poll():
                what, *words = self._pipe.recv()
                if what == "stop":
                    self._stop()
                elif what == "quiet":
                    self._quiet = True
                elif what == "stop job":
                    self._holding.stop(*words)
                elif what == "queues":
                    self._serve(words[0])
                elif what == "recovered":
                    tell_recovered(*words)
        except (EOFError, OSError):
            os._exit(1)

    def _serve(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.queues:
                self.queues[name] = self._open_queue(name)
                self._claiming.hungry = True

    def _stop(self) -> None:
        self._stopping = True
        self._claiming.enter()
        self._give_back(self._holding.take_back())

    def _give_back(self, jobs: Iterable[Claimed]) -> None:
        for claimed in jobs:
            self._settling.add(claimed, RELEASED)

    def _collect(self) -> None:
        for claimed, outcome in self._holding.done():
            if outcome.kind == "lost":
                self._holding.forget(claimed)
            else:
                self._settling.add(claimed, outcome)
                self._claiming.ended += 1
        self._give_back(self._holding.overdue())
        if not self._stopping and self._used_up():
            self._stop()

    def _used_up(self) -> bool:
        jobs, memory = self.options.max_jobs, self.options.max_memory
        if not self._claiming.ended:  # a worker that did nothing would be renewed for ever
            return False
        return bool((jobs and self._claiming.ended >= jobs) or (memory and resident() > memory))

    def _over(self) -> bool:
        if len(self._holding) or self._claiming.pending or self._sweeper:
            return False
        drained = self.options.drain and (self._claiming.found_nothing or self._quiet)
        return self._stopping or drained

    def _end(self) -> int:
        if counts := self._settling.metrics.calls(self.queues, last=True):
            with suppress(RedisError, OSError):
                self._line.run(counts)
        self._line.close()
        self._rest.close()
        recycled = self._stopping and bool(self.options.max_jobs or self.options.max_memory)
        return RECYCLE if recycled else 0

    # What goes out.

    def _round_trip(self) -> bool:
        """Settle and claim; return False if there was nothing to say to Redis, or to learn.

        While Redis settles, the last claim's jobs are entered here; while it claims, they begin.
        A job is always entered before the next claim is sent: Redis names the last one only.
        """
        began, before = time.monotonic(), self._claiming.ended
        settles = self._settling.calls(self.queues, self._claiming.id)
        try:
            self._line.begin([call for call, _ in settles])
            news = self._claiming.enter()
            claims = self._claims(settling=bool(settles))
            if not settles and not claims:
                self._holding.start()
                return news
            self._line.begin([call for call, _ in claims])
            error = self._apply(settles)
            self._holding.start()
            error = self._apply(claims) or error
        except (RedisError, OSError) as raised:
            error = raised
        if error is not None:
            self._away(error)
            return True
        if self._failures:
            log.warning("Redis answers again.")
            self._failures = 0
        self._collect()
        self._claiming.measure(time.monotonic() - began, self._claiming.ended - before)
        return True

    def _claims(self, *, settling: bool) -> Calls:
        order = self.options.order(self.queues.values())
        claim = not (self._stopping or self._quiet)
        calls = self._claiming.calls(order, claim=claim, settling=settling)
        return calls + self._sweeper.calls(order, self._claiming.id, look=not self._stopping)

    def _apply(self, calls: Calls) -> Exception | None:
        """Take the replies to these calls; return the first that is an error."""
        error = None
        for reply, (_, apply) in zip(self._line.finish() if calls else [], calls, strict=True):
            if isinstance(reply, Exception):
                error = error or reply
            else:
                apply(reply)
        return error

    def _away(self, error: Exception) -> None:
        if not self._failures:
            log.warning("Redis does not answer, waiting for it: %s", error)
        self._failures += 1
        self._line.close()
        self._rest.close()
        self._claiming.enter()
        self._claiming.doubt()
        pause = min(LONGEST_PAUSE, 0.05 * 2 ** min(self._failures, 10))
        self._quiet_until = time.monotonic() + pause * random.uniform(0.5, 1.0)

    def _wait(self) -> None:
        """Sleep until a hint, an outcome, the supervisor, or the clock says to go on."""
        now = time.monotonic()
        times = [now + POLL, self._holding.next_limit()]
        if now < self._quiet_until:
            times.append(self._quiet_until)
        elif not self._stopping:
            times.append(self._sweeper.due)
            if not self._quiet:
                times.append(self._claiming.look_at)
                if self._claiming.room()[0] and not self._ask_for_hint():
                    return
        if self._rest.sleep(min(times) - now, self._holding.any_done):
            self._claiming.hungry = True
            if self._round_trip() and self._claiming.enter():  # no detour: somebody waits
                self._holding.start()

    def _ask_for_hint(self) -> bool:
        try:
            self._rest.ask(self.queues.values(), POLL)
        except (RedisError, OSError) as error:
            self._away(error)
            return False
        return True


def resident(pid: int | str = "self") -> int:
    """Return the resident memory of a process in MB (Linux; 0 elsewhere)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
