"""One worker process: settles what is done and claims what there is room for, in one round trip.

The main thread is the only one that settles. Idle, it waits for a hint from Redis, an
outcome from a thread, or word from the supervisor.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from redis import Redis

from django_jobs import flight
from django_jobs.away import Away
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
        self._away = Away()

    def run(self) -> int:
        """Work until told to stop; return the exit status."""
        while True:
            self._table.turn()
            self._hear()
            self._holding.expire()
            self._collect()
            if self._over():
                return self._end()
            if not self._round_trip():
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
        return self._stopping or (drained and not self._away)

    def _end(self) -> int:
        if counts := self._settling.metrics.calls(self.queues, last=True):
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
        present = self._away.present(self.queues.values())
        settles = self._settling.calls({q.name: q for q in present}, self._claiming.id)
        self._line.begin([call for call, _ in settles])
        news = self._claiming.enter()
        claims = self._claims(present, settling=bool(settles)) if present else []
        if not settles and not claims:
            self._holding.start()
            return news
        self._line.begin([call for call, _ in claims])
        self._apply(settles)
        self._holding.start()
        self._apply(claims)
        if (troubles := self._line.troubles()) or self._away:
            self._mind(troubles, present)
        self._collect()
        self._claiming.measure(time.monotonic() - began, self._claiming.ended - before)
        return True

    def _claims(self, queues: Iterable[Queue], *, settling: bool) -> Calls:
        order = self.options.order(queues)
        claim = not (self._stopping or self._quiet)
        calls = self._claiming.calls(order, claim=claim, settling=settling)
        return calls + self._sweeper.calls(order, self._claiming.id, look=not self._stopping)

    def _apply(self, calls: Calls) -> None:
        """Take the replies to these calls, but for those that are errors."""
        for reply, (_, apply) in zip(self._line.finish() if calls else [], calls, strict=True):
            if not isinstance(reply, Exception):
                apply(reply)

    def _mind(self, troubles: Mapping[Redis, Exception], asked: Iterable[Queue] = ()) -> None:
        """Leave alone for a while what failed; then nobody knows what was done there."""
        for client, error in troubles.items():
            self._away.note(client, error)
            self._rest.hang_up(client)
        self._away.answered({queue.client for queue in asked} - troubles.keys())
        if troubles:
            self._claiming.enter()
            lost = [queue.name for queue in self.queues.values() if queue.client in troubles]
            self._claiming.doubt(lost)

    def _wait(self) -> None:
        """Sleep until a hint, an outcome, the supervisor, or the clock says to go on."""
        now = time.monotonic()
        times = [now + POLL, self._holding.next_limit(), self._away.next_try()]
        present = self._away.present(self.queues.values())
        if present and not self._stopping:
            times.append(self._sweeper.due)
            if not self._quiet:
                times.append(self._claiming.look_at)
                if self._claiming.room()[0] and (troubles := self._rest.ask(present, POLL)):
                    return self._mind(troubles)
        if self._rest.sleep(min(times) - now, self._holding.any_done):
            self._claiming.hungry = True
            if self._round_trip() and self._claiming.enter():  # no detour: somebody waits
                self._holding.start()
        return None


def resident(pid: int | str = "self") -> int:
    """Return the resident memory of a process in MB (Linux; 0 elsewhere)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
