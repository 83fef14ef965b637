"""One worker process: settles what is done and claims what there is room for, in one round trip.

The main thread is the only one that settles. Idle, it waits for a hint from Redis, an
outcome from a thread, or word from the supervisor.
"""

import logging
import os
import random
import select
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from redis.exceptions import RedisError

from django_jobs import flight
from django_jobs.claims import claim_call, new_worker, read_claim, read_held, sweep_call, triples
from django_jobs.exceptions import JobTimeout, LeaseLost, WorkerLost
from django_jobs.executor import Executor, Outcome, Policy, find_handler
from django_jobs.failure import Failure
from django_jobs.handlers import Handler
from django_jobs.job import Claimed, Job
from django_jobs.queue import BEATS_PER_LEASE, Queue
from django_jobs.scripts import Call, Line
from django_jobs.settling import Settling, tell_recovered

log = logging.getLogger("django_jobs")

AHEAD = 128  # jobs held beyond the free slots, at most
POLL = 5.0  # seconds between looks of an idle worker, jittered
RECYCLE = 75  # exit status: start another one
LONGEST_PAUSE = 5.0  # seconds between tries while Redis is away

Calls = list[tuple[Call, Callable[[Any], None]]]


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works; `lease` and `unknown_wait` in seconds, `max_memory` in MB."""

    concurrency: int = 8
    lease: float = 15.0
    weights: Mapping[str, int] = field(default_factory=dict)  # empty: strict order
    policy: Policy = field(default_factory=Policy)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    failed_ttl: float | None = None
    failed_ttls: Mapping[str, float | None] = field(default_factory=dict)
    drain: bool = False
    max_jobs: int | None = None
    max_memory: int | None = None
    unknown_wait: float = 900.0

    @property
    def slots(self) -> int:
        """Return how many jobs a worker may hold, the ended but unsettled ones too."""
        return 2 * (self.concurrency + AHEAD)


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
        self._line = Line(queues[0].client)
        self._hints = Line(queues[0].client, socket_timeout=None)
        self._asked = False  # a BLPOP is under way
        self._number = 0
        self._held: dict[tuple[str, str], Claimed] = {}
        self._limits: dict[Claimed, float] = {}
        self._done: deque[tuple[Claimed, Outcome]] = deque()
        self._settling = Settling(self._forget)
        self._policies = {
            name: options.policies.get(name, options.policy) for name in self.queues
        }
        self._executor = self._make_executor()
        self._bell_out, self._bell_in = os.pipe()
        os.set_blocking(self._bell_in, False)  # noqa: FBT003
        os.set_blocking(self._bell_out, False)  # noqa: FBT003
        self._asleep = False
        self._hungry, self._stopping, self._unsure = True, False, False
        self._cursors: dict[str, bytes] = {}
        self._orphans: list[tuple[Queue, list[tuple[str, int, str]]]] = []
        self._give_back: list[tuple[Queue, list[tuple[str, int]]]] = []
        now = time.monotonic()
        self._poll_at, self._sweep_at, self._quiet_until = now, now, 0.0
        self._failures, self._count, self._rate, self._trip = 0, 0, 0.0, 0.001
        self._empty = False

    def run(self) -> int:
        """Work until told to stop; return the exit status."""
        while True:
            self._table.turn()
            self._hear()
            self._expire()
            self._collect()
            if self._over():
                return self._end()
            calls = self._calls() if time.monotonic() >= self._quiet_until else []
            if calls:
                self._round_trip(calls)
            else:
                self._wait()

    def _make_executor(self) -> Executor:
        return Executor(
            self.options.concurrency,
            self._policies,
            started=self._started,
            done=self._ended,
            progress=self._progress,
        )

    # From the executor's threads.

    def _started(self, claimed: Claimed, deadline: float) -> None:
        self._table.start(claimed.slot, deadline)
        if deadline:
            self._limits[claimed] = deadline
            self._ring()

    def _ended(self, claimed: Claimed, outcome: Outcome) -> None:
        if outcome.kind == "succeeded":
            self._table.succeed(claimed.slot)
        elif outcome.failure is not None:
            state = flight.RETRY if outcome.kind == "retry" else flight.FAILED
            self._table.end(claimed.slot, state, outcome.delay, outcome.failure.error)
        self._done.append((claimed, outcome))
        self._ring()

    def _ring(self) -> None:
        if self._asleep:
            try:
                os.write(self._bell_in, b"!")
            except BlockingIOError:
                return

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
                self._policies[name] = self.options.policies.get(name, self.options.policy)
                self._hungry = True

    def _stop(self) -> None:
        self._stopping = True
        back: dict[str, list[tuple[str, int]]] = {}
        for claimed in self._executor.take_back():
            back.setdefault(claimed.queue, []).append((claimed.id, claimed.token))
            self._forget(claimed)
        self._give_back += [(self.queues[name], jobs) for name, jobs in back.items()]

    def _expire(self) -> None:
        now = time.monotonic()
        for claimed in [c for c, at in list(self._limits.items()) if at <= now]:
            self._limits.pop(claimed, None)
            self._executor.interrupt(claimed, JobTimeout)

    def _collect(self) -> None:
        while self._done:
            claimed, outcome = self._done.popleft()
            self._limits.pop(claimed, None)
            if self._held.get((claimed.queue, claimed.id)) is not claimed:
                continue  # dropped: the claim was lost
            if outcome.kind == "lost":
                self._forget(claimed)
            else:
                self._settling.add(claimed, outcome)
                self._count += 1
        if self.options.max_jobs and self._count >= self.options.max_jobs:
            self._stopping = self._stopping or not self._stop()
        if self.options.max_memory and _memory() > self.options.max_memory:
            self._stopping = self._stopping or not self._stop()

    def _over(self) -> bool:
        if self._held or self._settling or self._give_back or self._orphans:
            return False
        return self._stopping or (self.options.drain and self._empty)

    def _end(self) -> int:
        self._line.close()
        self._hints.close()
        recycled = self._stopping and bool(self.options.max_jobs or self.options.max_memory)
        return RECYCLE if recycled else 0

    def _room(self) -> tuple[int, int]:
        """Return how many jobs to claim: for free slots, and ahead for one round trip."""
        running = len(self._held) - len(self._settling)
        slots = max(0, self.options.concurrency - running)
        ahead = min(AHEAD, int(self._rate * self._trip))
        ahead = max(0, min(ahead, self._table.room - slots, ahead + self.options.concurrency - running))
        return slots, ahead - max(0, ahead + slots - self._table.room)

    def _calls(self) -> Calls:
        calls: Calls = self._settling.calls(self.queues, self._id)
        for queue, jobs in self._give_back:
            calls.append((queue.release(self._id, jobs), lambda _: None))
        self._give_back = []
        for queue, orphans in self._orphans:
            calls.append((queue.recover(orphans, _lost()), _Recovered(queue, orphans)))
        self._orphans = []
        if self._unsure:
            return calls + self._ask_what_is_held()
        now, order = time.monotonic(), self._order()
        slots, ahead = self._room()
        look = self._hungry or now >= self._poll_at
        if not self._stopping and (look or (len(calls) > 0 and slots)):
            self._hungry = False
            self._number += 1
            call = claim_call(order, self._id, self._number, self.options.lease, slots=slots, ahead=ahead)
            calls.append((call, lambda reply: self._claimed(reply, order, slots + ahead)))
            self._poll_at = now + POLL * random.uniform(0.8, 1.0)
        if now >= self._sweep_at and not self._stopping:
            calls.append(self._sweep(order, now))
        return calls

    def _order(self) -> list[Queue]:
        """Return the queues in order of preference: as given, or drawn by weight."""
        queues = list(self.queues.values())
        weights = self.options.weights
        if weights:
            queues.sort(key=lambda q: random.random() ** (1 / weights.get(q.name, 1)), reverse=True)
        return queues

    def _sweep(self, order: list[Queue], now: float) -> tuple[Call, Callable[[Any], None]]:
        beat = self.options.lease / BEATS_PER_LEASE
        self._sweep_at = now + beat * random.uniform(0.8, 1.0)
        cursors = [self._cursors.get(queue.name, b"0") for queue in order]
        options = self.options
        ttls = [options.failed_ttls.get(queue.name, options.failed_ttl) for queue in order]
        return sweep_call(order, 2 * beat, cursors, ttls), lambda reply: self._swept(reply, order)

    def _swept(self, reply: list[Any], order: list[Queue]) -> None:
        for queue, (cursor, found, *flat) in zip(order, reply, strict=True):
            self._cursors[queue.name] = cursor
            if flat:
                self._orphans.append((queue, triples(flat)))
            if found or (flat and cursor != b"0"):
                self._sweep_at = 0.0  # a worker is dead: walk on at once

    def _claimed(self, reply: Any, order: list[Queue], room: int) -> None:
        answer = read_claim(reply, order)
        for claimed in answer.jobs:
            self._hold(claimed)
        self._hungry = answer.left and room > len(answer.jobs)
        if len(answer.jobs) == room > 0:
            self._hungry = True
        if answer.look is not None:
            self._poll_at = min(self._poll_at, time.monotonic() + answer.look)
        states = set(answer.states.values())
        self._empty = states == {"ok"} and not answer.jobs and not answer.left
        if "closed" in states:
            self._begin_anew()
        elif "unregistered" in states:
            self._poll_at = min(self._poll_at, time.monotonic() + 0.1)
        for name, state in answer.states.items():
            if ":" in state:
                log.error("Queue %s cannot be claimed from: %s", name, state)

    def _hold(self, claimed: Claimed) -> None:
        claimed.slot = self._table.hold(
            claimed.queue, claimed.id, claimed.token, claimed.attempt, claimed.max_attempts
        )
        self._held[claimed.queue, claimed.id] = claimed
        wait = 0.0 if self.options.drain else self.options.unknown_wait
        handler = find_handler(claimed, wait)
        if isinstance(handler, Handler):
            self._executor.submit(claimed, handler)
        else:
            self._done.append((claimed, handler))

    def _forget(self, claimed: Claimed) -> None:
        if self._held.pop((claimed.queue, claimed.id), None) is not None:
            self._table.free(claimed.slot)

    def _ask_what_is_held(self) -> Calls:
        self._number += 1
        calls: Calls = []
        for queue in self.queues.values():
            known = [c for c in self._held.values() if c.queue == queue.name]
            call = queue.held(self._id, self._number, [(c.id, c.token) for c in known])
            calls.append((call, _Held(self, queue, known)))
        self._unsure = False
        return calls

    def learn(self, queue: Queue, known: list[Claimed], reply: Any) -> None:
        """Take the answer to `held`: drop what was lost, give back what was not known."""
        answer = read_held(reply)
        for claimed, stands in zip(known, answer.stands, strict=True):
            if not stands and claimed not in self._settling:
                self._lose(claimed)
        if answer.unknown:
            self._give_back.append((queue, answer.unknown))
        if answer.state == "closed":
            self._begin_anew()
        self._hungry = True

    def _lose(self, claimed: Claimed) -> None:
        log.warning("Job %s of queue %s was given to another worker.", claimed.id, claimed.queue)
        self._executor.interrupt(claimed, LeaseLost)
        self._forget(claimed)

    def _begin_anew(self) -> None:
        """This id was closed, others have its jobs: go on under a fresh one."""
        for claimed in list(self._held.values()):
            self._lose(claimed)
        self._settling.clear()
        self._executor.take_back()
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
        times = [self._poll_at, self._sweep_at, *list(self._limits.values())]
        if now < self._quiet_until:
            times = [self._quiet_until]
        elif self._room()[0] and not self._stopping:
            self._ask_for_hint()
        files: list[Any] = [self._pipe, self._bell_out]
        if self._asked:
            files.append(self._hints.fileno())
        self._asleep = True
        timeout = max(0.0, min(min(times) - now, 1.0 if self._stopping else POLL))
        ready = [] if self._done else select.select(files, [], [], timeout)[0]
        self._asleep = False
        if self._bell_out in ready:
            os.read(self._bell_out, 4096)
        if self._asked and files[-1] in ready:
            self._take_hint()

    def _ask_for_hint(self) -> None:
        if self._asked:
            return
        try:
            names = [f"{queue.root}:wake" for queue in self.queues.values()]
            self._hints.send("BLPOP", *names, int(POLL))
            self._asked = True
        except (RedisError, OSError) as error:
            self._hints.close()
            self._away(error)

    def _take_hint(self) -> None:
        self._asked = False
        try:
            self._hungry = self._hints.receive() is not None or self._hungry
        except (RedisError, OSError):
            self._hints.close()
            self._hungry = True


@dataclass(frozen=True, slots=True)
class _Held:
    worker: Worker
    queue: Queue
    known: list[Claimed]

    def __call__(self, reply: Any) -> None:
        self.worker.learn(self.queue, self.known, reply)


@dataclass(frozen=True, slots=True)
class _Recovered:
    queue: Queue
    jobs: list[tuple[str, int, str]]

    def __call__(self, reply: Any) -> None:
        tell_recovered(self.queue.name, self.jobs, [state.decode() for state in reply])


def _lost() -> Failure:
    return Failure.of(WorkerLost("Its worker's lease ran out."), "")


def _memory() -> int:
    """Return this process' resident memory in MB (Linux; 0 elsewhere)."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    except OSError:
        return 0
