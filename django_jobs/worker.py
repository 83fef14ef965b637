"""One worker process: settles what is done and claims what there is room for, in one round trip.

The main thread is the only one that settles. Idle, it waits for a hint from Redis, an
outcome from a thread, or word from the supervisor.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from redis.exceptions import RedisError

from django_jobs import flight
from django_jobs.claims import claim_call, new_worker, read_claim, read_held
from django_jobs.executor import RELEASED
from django_jobs.holding import Holding
from django_jobs.job import Claimed, Job
from django_jobs.queue import Queue
from django_jobs.rest import Rest
from django_jobs.scripts import Call, Line
from django_jobs.settling import Settling, tell_recovered
from django_jobs.sweeper import Sweeper
from django_jobs.worker_options import AHEAD, WorkerOptions

log = logging.getLogger("django_jobs")

POLL = 5.0  # seconds between looks of an idle worker, jittered
RECYCLE = 75  # exit status: start another one
LONGEST_PAUSE = 5.0  # seconds between tries while Redis is away

Calls = list[tuple[Call, Callable[[Any], None]]]


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
        self._id = table.worker
        self._line = Line(queues[0].client, preload=True)
        self._rest = Rest(queues[0].client, pipe)
        self._number = 0
        self._holding = Holding(table, options, ring=self._rest.ring, progress=self._progress)
        self._settling = Settling(self._holding.forget)
        self._sweeper = Sweeper(options.lease, options.failed_ttl_of)
        self._hungry, self._stopping, self._unsure = True, False, False
        self._give_back: list[tuple[Queue, list[tuple[str, int]]]] = []
        now = time.monotonic()
        self._poll_at, self._quiet_until = now, 0.0
        self._failures, self._count, self._rate, self._trip = 0, 0, 0.0, 0.001
        self._empty = False

    def run(self) -> int:
        """Work until told to stop; return the exit status."""
        while True:
            self._table.turn()
            self._hear()
            self._holding.expire()
            self._collect()
            if self._over():
                return self._end()
            calls = self._calls() if time.monotonic() >= self._quiet_until else []
            if calls:
                self._round_trip(calls)
            else:
                self._wait()

    def _progress(self, job: Job, fraction: float, text: str) -> None:
        self.queues[job.queue].progress_function(self._id)(job, fraction, text)

    # The main loop's parts.

    def _hear(self) -> None:
        """Take the supervisor's word; without a supervisor there is nothing to live for."""
        try:
            while self._pipe.poll():
                what, *words = self._pipe.recv()
                if what == "stop":
                    self._stop()
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
                self._hungry = True

    def _stop(self) -> None:
        self._stopping = True
        for claimed in self._holding.take_back():
            self._settling.add(claimed, RELEASED)

    def _collect(self) -> None:
        for claimed, outcome in self._holding.done():
            if outcome.kind == "lost":
                self._holding.forget(claimed)
            else:
                self._settling.add(claimed, outcome)
                self._count += 1
        if not self._stopping and self._used_up():
            self._stop()

    def _used_up(self) -> bool:
        jobs, memory = self.options.max_jobs, self.options.max_memory
        return bool((jobs and self._count >= jobs) or (memory and _memory() > memory))

    def _over(self) -> bool:
        if len(self._holding) or self._give_back or self._sweeper:
            return False
        return self._stopping or (self.options.drain and self._empty)

    def _end(self) -> int:
        self._line.close()
        self._rest.close()
        recycled = self._stopping and bool(self.options.max_jobs or self.options.max_memory)
        return RECYCLE if recycled else 0

    def _room(self) -> tuple[int, int]:
        """Return how many jobs to claim: for free slots, and ahead for one round trip."""
        free = self.options.concurrency - (len(self._holding) - len(self._settling))
        slots = min(max(0, free), self._table.room)
        ahead = min(AHEAD, int(self._rate * self._trip)) + min(free, 0)
        return slots, max(0, min(ahead, self._table.room - slots))

    def _calls(self) -> Calls:
        calls: Calls = self._settling.calls(self.queues, self._id)
        for queue, jobs in self._give_back:
            calls.append((queue.release(self._id, jobs), lambda _: None))
        self._give_back = []
        if self._unsure:
            return calls + self._ask_what_is_held()
        now, order = time.monotonic(), self.options.order(self.queues.values())
        slots, ahead = self._room()
        look = self._hungry or now >= self._poll_at
        if not self._stopping and (look or (len(calls) > 0 and slots)):
            self._hungry = False
            self._number += 1
            call = claim_call(
                order, self._id, self._number, self.options.lease, slots=slots, ahead=ahead
            )
            calls.append((call, lambda reply: self._claimed(reply, order, slots + ahead)))
            self._poll_at = now + POLL * random.uniform(0.8, 1.0)
        return calls + self._sweeper.calls(order, look=not self._stopping)

    def _claimed(self, reply: Any, order: list[Queue], room: int) -> None:
        answer = read_claim(reply, order)
        for claimed in answer.jobs:
            self._holding.add(claimed)
        self._hungry = answer.left and room > len(answer.jobs)
        if len(answer.jobs) == room > 0:
            self._hungry = True
        if answer.look is not None:
            self._poll_at = min(self._poll_at, time.monotonic() + answer.look)
        states = set(answer.states.values())
        waiting = states & {"closed", "unregistered", "seen"}
        self._empty = not (waiting or answer.jobs or answer.left)
        if "closed" in states:
            self._begin_anew()
        elif "unregistered" in states:
            self._poll_at = min(self._poll_at, time.monotonic() + 0.1)
        for name, state in answer.states.items():
            if ":" in state:
                log.error("Queue %s cannot be claimed from: %s", name, state)

    def _ask_what_is_held(self) -> Calls:
        self._number += 1
        calls: Calls = []
        for queue in self.queues.values():
            known = self._holding.of(queue.name)
            call = queue.held(self._id, self._number, [(c.id, c.token) for c in known])
            calls.append((call, partial(self._learn, queue, known)))
        self._unsure = False
        return calls

    def _learn(self, queue: Queue, known: list[Claimed], reply: Any) -> None:
        """Take the answer to `held`: drop what was lost, give back what was not known."""
        answer = read_held(reply)
        for claimed, stands in zip(known, answer.stands, strict=True):
            if not stands and claimed not in self._settling:
                self._holding.lose(claimed)
        if answer.unknown:
            self._give_back.append((queue, answer.unknown))
        if answer.state == "closed":
            self._begin_anew()
        self._hungry = True

    def _begin_anew(self) -> None:
        """This id was closed, others have its jobs: go on under a fresh one."""
        self._settling.clear()
        self._holding.lose_all()
        self._id, self._number = new_worker(), 0
        self._table.worker = self._id

    def _round_trip(self, calls: Calls) -> None:
        began = time.monotonic()
        before = self._count
        try:
            replies = self._line.run([call for call, _ in calls])
            error = next((reply for reply in replies if isinstance(reply, Exception)), None)
        except (RedisError, OSError) as raised:
            self._away(raised)
            return
        for reply, (_, apply) in zip(replies, calls, strict=True):
            if not isinstance(reply, Exception):
                apply(reply)
        if error is not None:
            self._away(error)
            return
        if self._failures:
            log.warning("Redis answers again.")
            self._failures = 0
        self._collect()
        self._measure(time.monotonic() - began, self._count - before)

    def _measure(self, trip: float, ended: int) -> None:
        """Learn how long a round trip takes, and how many jobs end meanwhile."""
        self._trip += (min(trip, 0.05) - self._trip) * 0.2
        self._rate += (ended / max(trip, 0.0001) - self._rate) * 0.3

    def _away(self, error: Exception) -> None:
        if not self._failures:
            log.warning("Redis does not answer, waiting for it: %s", error)
        self._failures += 1
        self._line.close()
        self._unsure, self._hungry, self._empty = True, True, False
        pause = min(LONGEST_PAUSE, 0.05 * 2 ** min(self._failures, 10))
        self._quiet_until = time.monotonic() + pause * random.uniform(0.5, 1.0)

    def _wait(self) -> None:
        """Sleep until a hint, an outcome, the supervisor, or the clock says to go on."""
        now = time.monotonic()
        times = [now + POLL, self._holding.next_limit()]
        if now < self._quiet_until:
            times.append(self._quiet_until)
        elif not self._stopping:
            times += [self._poll_at, self._sweeper.due]
            if self._room()[0] and not self._ask_for_hint():
                return
        if self._rest.sleep(min(times) - now, self._holding.any_done):
            self._hungry = True

    def _ask_for_hint(self) -> bool:
        try:
            self._rest.ask([f"{queue.root}:wake" for queue in self.queues.values()], POLL)
        except (RedisError, OSError) as error:
            self._away(error)
            return False
        return True


def _memory() -> int:
    """Return this process' resident memory in MB (Linux; 0 elsewhere)."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    except OSError:
        return 0
