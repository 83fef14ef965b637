"""A worker's claims: when to make one, for how many jobs, and what to ask when one went wrong."""

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from django_jobs.claims import ClaimAnswer, claim_call, new_worker, read_claim, read_held
from django_jobs.flight import FlightTable
from django_jobs.holding import Holding
from django_jobs.job import Claimed
from django_jobs.queue import Queue
from django_jobs.scripts import Call
from django_jobs.settling import Settling
from django_jobs.worker_options import AHEAD, AHEAD_SECONDS, WorkerOptions

log = logging.getLogger("django_jobs")

POLL = 5.0  # seconds between looks of an idle worker, jittered

Calls = list[tuple[Call, Callable[[Any], None]]]


class Claiming:
    """Keeps the worker's id and the numbers of its claims; enters in `holding` what they give."""

    def __init__(
        self,
        queues: Mapping[str, Queue],
        table: FlightTable,
        options: WorkerOptions,
        holding: Holding,
        settling: Settling,
    ) -> None:
        self.id = table.worker
        self.hungry = True  # there may be jobs: look at once
        self.look_at = time.monotonic()
        self.found_nothing = False
        self.ended = 0  # runs of this process
        self._queues = queues
        self._table = table
        self._options = options
        self._holding = holding
        self._settling = settling
        self._number = 0
        self._unsure: set[str] = set()  # queues
        self._answer: tuple[Any, list[Queue], int] | None = None
        self._give_back: list[tuple[Queue, list[tuple[str, int]]]] = []
        self._fires: list[Call] = []
        self._rate, self._trip = 0.0, 0.001

    @property
    def pending(self) -> bool:
        """Say whether jobs are known that are not entered, or to be given back."""
        return bool(self._answer or self._give_back)

    def doubt(self, queues: Iterable[str]) -> None:
        """Ask next what is held of them: after an error nobody knows what was done."""
        self._unsure.update(queues)
        self.hungry, self.found_nothing = True, False

    def measure(self, trip: float, ended: int) -> None:
        """Learn how long a round trip takes (in seconds), and how many jobs end meanwhile."""
        self._trip += (min(trip, 0.05) - self._trip) * 0.2
        self._rate += (ended / max(trip, 0.0001) - self._rate) * 0.3

    def room(self) -> tuple[int, int]:
        """Return how many jobs to claim: for free slots, and ahead.

        Ahead is a batch that takes milliseconds, or two round trips where those are longer.
        Two such batches are held at most: one runs while Redis works on the next.
        """
        running = len(self._holding) - len(self._settling)
        free = self._options.concurrency - running
        most = self._table.room
        if self._options.max_jobs:
            most = max(0, min(most, self._options.max_jobs - self.ended - running))
        slots = min(max(0, free), most)
        batch = min(AHEAD, int(self._rate * max(AHEAD_SECONDS, 2 * self._trip)))
        ahead = min(batch, 2 * batch + min(free, 0), most - slots)
        return slots, max(0, ahead)

    def calls(self, order: list[Queue], *, claim: bool, settling: bool) -> Calls:
        """Return what to send; a claim travels with every settle if there is a free slot."""
        releases = [queue.release(self.id, jobs) for queue, jobs in self._give_back]
        calls: Calls = [(call, lambda _: None) for call in releases + self._fires]
        self._give_back, self._fires = [], []
        if unsure := [queue for queue in order if queue.name in self._unsure]:
            return calls + self._ask_what_is_held(unsure)
        now = time.monotonic()
        slots, ahead = self.room()
        if claim and (self.hungry or now >= self.look_at or (settling and slots)):
            self.hungry = False
            self.look_at = now + POLL * random.uniform(0.8, 1.0)
            self._number += 1
            call = claim_call(
                order, self.id, self._number, self._options.lease, slots=slots, ahead=ahead
            )
            calls.append((call, partial(self._answered, order, slots + ahead)))
        return calls

    def enter(self) -> bool:
        """Enter the jobs that the last claim gave, and learn when to make the next.

        Returns False if there is no answer that was not looked at.
        """
        if self._answer is None:
            return False
        (reply, order, room), self._answer = self._answer, None
        answer = read_claim(reply, order)
        for claimed in answer.jobs:
            claimed.worker = self.id
            self._holding.add(claimed)
        if answer.jobs:
            self.hungry = answer.left or len(answer.jobs) == room
        else:
            self.hungry = answer.left and room > 0
        if fires := self._fires_of(answer):
            self._fires += fires
            self.hungry = True
        if answer.look is not None:
            self.look_at = min(self.look_at, time.monotonic() + answer.look)
        waiting = set(answer.states.values()) & {"closed", "unregistered", "seen", "away"}
        waits = answer.jobs or answer.left or answer.limited or fires
        self.found_nothing = not (waiting or waits)
        self._mind(answer.states)
        return True

    def disown(self, queue: Queue, worker: str, owned: Sequence[tuple[str, str]]) -> None:
        """Give back those of the jobs that Redis says are this worker's and nobody here knows."""
        self.enter()
        known = {(claimed.id, str(claimed.token)) for claimed in self._holding.of(queue.name)}
        strays = [
            (id, int(token) if token.isdigit() else 0)  # who knows what wrote it
            for id, token in owned
            if (id, token) not in known
        ]
        if strays and worker == self.id:
            self._give_back.append((queue, strays))

    def _answered(self, order: list[Queue], room: int, reply: Any) -> None:
        self._answer = (reply, order, room)

    def _fires_of(self, answer: ClaimAnswer) -> list[Call]:
        """Return what pushes the jobs of schedules that are due."""
        fires = []
        for due in answer.due:
            try:
                fires.append(self._queues[due.queue].fire(due, answer.now))
            except ValueError as error:
                name = due.name.decode("utf-8", "replace")
                log.warning("Schedule %s of queue %s is left to others: %s", name, due.queue, error)
        return fires

    def _mind(self, states: Mapping[str, str]) -> None:
        """Act on what Redis says of this worker's id, and of queues that are broken."""
        said = set(states.values())
        if said == {"ok"}:
            return
        if "closed" in said:
            self._begin_anew()
        elif "unregistered" in said:
            self.look_at = min(self.look_at, time.monotonic() + 0.1)
        for name, state in states.items():
            if ":" in state:
                log.error("Queue %s cannot be claimed from: %s", name, state)

    def _ask_what_is_held(self, queues: Iterable[Queue]) -> Calls:
        self._number += 1
        calls: Calls = []
        for queue in queues:
            self._unsure.remove(queue.name)
            known = self._holding.of(queue.name)
            call = queue.held(self.id, self._number, [(c.id, c.token) for c in known])
            calls.append((call, partial(self._learn, queue, known)))
        return calls

    def _learn(self, queue: Queue, known: Sequence[Claimed], reply: Any) -> None:
        """Take the answer to `held`: drop what was lost, give back what was not known."""
        answer = read_held(reply)
        for claimed, stands in zip(known, answer.stands, strict=True):
            if not stands and claimed not in self._settling:
                self._holding.lose(claimed)
        if answer.unknown:
            self._give_back.append((queue, answer.unknown))
        if answer.state == "closed":
            self._begin_anew()
        self.hungry = True

    def _begin_anew(self) -> None:
        """This id was closed, others have its jobs: go on under a fresh one."""
        self._settling.clear()
        self._holding.lose_all()
        self.id, self._number = new_worker(), 0
        self._table.worker = self.id
