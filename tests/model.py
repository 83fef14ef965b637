"""What a queue promises, as a plain Python class: the state machine compares Redis with it.

It says what DESIGN promises, not how a script does it: where each job is and in which
order, who holds it, what each request is answered.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django_jobs.limits import Limits
from django_jobs.options import NewJob


class OneOf(tuple[int, ...]):
    """An answer that may be any of these."""

    def __eq__(self, other: object) -> bool:
        return other in tuple(self)

    __hash__ = tuple.__hash__


APPLIED, ALREADY_DONE, ANOTHERS = 1, 0, -1
NOT_APPLIED = OneOf((ALREADY_DONE, ANOTHERS))
Answer = int | OneOf
Proof = tuple[str, int]  # id and token of a job that is held
Orphan = tuple[str, int, str]  # id, token, worker
Row = tuple[str, str, int, int]  # queue, id, token, attempt of a job that was claimed
Range = tuple[float, float]  # seconds
LIVE, CLOSED, OLD = "live", "closed", "closed a day ago"  # a lease that ran out is a number


@dataclass
class Job:
    """One job that exists."""

    id: str
    priority: int = 0
    max_attempts: int = 5
    state: str = "active"
    attempts: int = 0
    token: int = 0
    crashes: int = 0
    worker: str = ""
    rank: tuple[int, int] = (0, 0)  # its turn among those with a priority
    listed: bool = False  # failed, but its id was left in the line
    late: bool = False  # it was to begin before now
    stopped: bool = False  # somebody wants its run stopped
    unique: str = ""  # of whose key it is the only one
    until: str = "end"
    key: str = ""  # of which only `limit` run at once
    limit: int = 1
    batch: str = ""


@dataclass
class Batch:
    """Jobs that belong together."""

    jobs: dict[str, str] = field(default_factory=dict)  # how each stands
    total: int | None = None
    due: dict[str, str] = field(default_factory=dict)  # callback -> the id it will have
    kept: set[str] = field(default_factory=set)  # callbacks that were sent, and wait
    done: bool = False


@dataclass
class Room:
    """How many jobs a claim may still take: to run now, and to wait in the worker."""

    slots: int
    ahead: int

    def takes(self, job: Job) -> bool:
        if self.slots:
            self.slots -= 1
            return True
        if job.attempts + 1 >= job.max_attempts:
            self.ahead = 0
        self.ahead -= 1
        return self.ahead >= 0


@dataclass
class Model:
    """One queue."""

    name: str
    jobs: dict[str, Job] = field(default_factory=dict)
    line: list[str] = field(default_factory=list)  # the list, the next to be claimed first
    lines: dict[str, list[str]] = field(default_factory=dict)  # of each limit key
    ring: list[str] = field(default_factory=list)  # limit keys, the next to be asked first
    keys_first: bool = False  # they and the line take turns
    most: int | None = None  # jobs that may run at once
    batches: dict[str, Batch] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)  # unique key -> the job that stands
    cancelled: set[str] = field(default_factory=set)  # ids left in the line
    due: dict[str, float] = field(default_factory=dict)
    delays: dict[str, Range] = field(default_factory=dict)  # of what was scheduled just now
    aged: set[str] = field(default_factory=set)  # failed longer ago than the queue keeps them
    workers: dict[str, str | int] = field(default_factory=dict)
    suspects: dict[str, int] = field(default_factory=dict)
    claims: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    paused: bool = False
    hint: bool = False  # there must be one
    turns: int = 0

    # Looking.

    def _active(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state == "active"]

    def ids(self, state: str) -> list[str]:
        return [job.id for job in self.jobs.values() if job.state == state]

    def ranked(self) -> list[str]:
        """The jobs that wait by priority, the next first."""
        waiting = (job for job in self._active() if job.priority)
        return [job.id for job in sorted(waiting, key=lambda job: job.rank)]

    def stale(self, id: str) -> bool:
        """An id in the line that is no job to run: cancelled, stopped, garbage."""
        return id not in self.jobs or self.jobs[id].state != "active"

    def expired(self, id: str) -> bool:
        """A job that never began, and is too late to begin now."""
        job = self.jobs.get(id)
        return job is not None and job.state == "active" and job.late and not job.attempts

    @property
    def claimable(self) -> bool:
        in_turn = {id for key in self.ring for id in self.lines[key]}
        waiting = (self.jobs[id] for id in self.ids("active"))
        return any(not job.key or job.id in in_turn for job in waiting) and not self.paused

    def counts(self) -> tuple[int, int, int, int]:
        """Active, processing, failed, scheduled; garbage counts as active until it is met."""
        garbage = sum(id not in self.jobs and id not in self.cancelled for id in self.line)
        active, *others = (
            len(self.ids(state)) for state in ("active", "processing", "failed", "scheduled")
        )
        return active + garbage, *others

    # Waiting.

    def push(self, jobs: Sequence[NewJob]) -> list[int]:
        return [self._push(new) for new in jobs]

    def _push(self, new: NewJob) -> int:
        if new.seal or new.callback:
            return self._gather(new)
        if new.id in self.jobs or new.id in self.cancelled:
            return 0
        if new.batch:
            batch = self.batches.setdefault(new.batch, Batch())
            if new.id in batch.jobs:
                return 0
            batch.jobs[new.id] = "waiting"
        until, _, key = new.unique.lstrip("+").partition(":")
        if other := self.stands(key):
            if new.unique.startswith("+") and other.state == "scheduled":
                self._put_off(other, new.due)
            return 2
        job = self.jobs[new.id] = Job(new.id, new.priority, new.max_attempts)
        job.key, job.limit, job.batch = new.limit_key, new.limit, new.batch
        job.unique, job.until = key, until
        if key:
            self.locks[key] = job.id
        job.late = new.expires == "1"
        if new.due:
            delay = int(new.due) / 1000
            self._schedule(job, (delay, delay))
        else:
            self._wait_last(job)
        return 1

    def _gather(self, new: NewJob) -> int:
        """Take what is said of a batch, and what is to follow it, in any order."""
        batch = self.batches.setdefault(new.batch or new.id, Batch())
        if (new.seal and batch.total is not None) or new.callback in batch.kept:
            return 0
        if new.seal:
            _, total, *pairs = new.seal
            batch.total = int(total)
            batch.due = dict(zip(map(str, pairs[::2]), map(str, pairs[1::2]), strict=True))
        else:
            batch.kept.add(new.callback)
        self._finish(batch)
        return 1

    def _finish(self, batch: Batch) -> None:
        ended = [state for state in batch.jobs.values() if state != "waiting"]
        if batch.total is None or len(ended) < batch.total:
            return
        batch.done = True
        for name in ("on_complete", "on_failure" if "failed" in ended else "on_success"):
            if name in batch.due and name in batch.kept:
                batch.kept.remove(name)
                job = Job(batch.due.pop(name))
                self.jobs[job.id] = job
                self._wait_last(job)

    def _mark(self, job: Job, state: str) -> None:
        batch = self.batches.get(job.batch)
        if batch and batch.jobs.get(job.id, state) != state:
            batch.jobs[job.id] = state
            self._finish(batch)

    def _put_off(self, job: Job, due: str) -> None:
        if due:
            self._schedule(job, (int(due) / 1000, int(due) / 1000))
        else:  # now
            self.turns += 1
            self.due[job.id] = 10**12 + self.turns
            self.delays.pop(job.id, None)

    def stands(self, key: str) -> Job | None:
        """The job that has a unique key, if it still waits or runs."""
        job = self.jobs.get(self.locks.get(key, ""))
        alive = job is not None and job.state in ("active", "scheduled", "processing")
        return job if alive and job is not None and job.unique == key else None

    def _free(self, job: Job) -> None:
        if self.locks.get(job.unique) == job.id:
            del self.locks[job.unique]

    def _wait_last(self, job: Job) -> None:
        job.state, job.worker = "active", ""
        self.turns += 1
        job.rank = (-job.priority, self.turns)
        if job.key:
            self.lines.setdefault(job.key, []).append(job.id)
            self._offer(job)
        elif not job.priority:
            self.line.append(job.id)
        self._wake()

    def _wait_first(self, job: Job) -> None:
        job.state, job.worker = "active", ""
        if job.key:
            self.turns += 1
            job.rank = (0, self.turns)
            self.lines.setdefault(job.key, []).insert(0, job.id)
            self._offer(job)
        elif not job.priority:
            self.line.insert(0, job.id)
        self._wake()

    def _offer(self, job: Job) -> None:
        """Give the job's limit key a turn if it has work and room."""
        if self.lines.get(job.key) and self._has_room(job) and job.key not in self.ring:
            self.ring.append(job.key)

    def _has_room(self, job: Job) -> bool:
        running = (self.jobs[id] for id in self.ids("processing"))
        return sum(other.key == job.key for other in running) < job.limit

    def _leave(self, job: Job) -> None:
        """A run is over: another one of its key may begin."""
        job.state = "over"
        self._offer(job)
        if self.most is not None and self.claimable:
            self._wake()

    def _schedule(self, job: Job, delay: Range) -> None:
        job.state, job.worker = "scheduled", ""
        self.due[job.id], self.delays[job.id] = float("inf"), delay

    def _wake(self) -> None:
        """Who makes a job claimable leaves a hint."""
        self.hint = self.hint or not self.paused

    def promote(self, limit: int = 200) -> int:
        due = [id for id, at in self.due.items() if at < float("inf")]
        due = sorted(due, key=self.due.__getitem__)[:limit]
        for id in due:
            del self.due[id]
            self._wait_last(self.jobs[id])
        return len(due)

    # Workers.

    def beat(self, workers: Iterable[str]) -> list[str]:
        closed = [worker for worker in workers if self.workers.get(worker) in (CLOSED, OLD)]
        for worker in set(workers) - set(closed):
            self.workers[worker] = LIVE
            self.suspects.pop(worker, None)
        return closed

    def life(self, worker: str) -> str:
        lease = self.workers.get(worker, 0)
        if lease == 0:
            return "unregistered"
        return "closed" if lease in (CLOSED, OLD) else "ok"

    def claim(self, worker: str, number: int, room: Room) -> tuple[str, list[Row]]:
        state = self.life(worker)
        if state == "ok" and number <= self.claims.get(worker, (0, []))[0]:
            state = "seen"
        if state != "ok":
            return state, []
        self.workers[worker] = LIVE
        taken: list[Job] = []
        if not self.paused:
            hint = self.hint
            self.promote()
            taken, is_open = self._take_within_limits(room)
            self.hint = hint or (self.claimable and is_open)
        for job in taken:
            job.worker = worker
        self.claims[worker] = (number, [job.id for job in taken])
        return state, [(self.name, job.id, job.token, job.attempts) for job in taken]

    def _take_within_limits(self, room: Room) -> tuple[list[Job], bool]:
        """What is taken, and whether more could be if there were workers."""
        if self.most is None:
            return self._take(room), True
        left = self.most - len(self.ids("processing"))
        taken = self._take(Room(max(0, min(room.slots, left)), 0))
        room.slots -= len(taken)
        return taken, left > len(taken)

    def _take(self, room: Room) -> list[Job]:
        before, behind = self._ranked_apart()
        if self.ring and room.slots:
            self.keys_first = not self.keys_first
        if self.ring and self.keys_first:
            return [
                *self._take_from(before, room),
                *self._take_by_key(room),
                *self._take_from([*self.line, *behind], room),
            ]
        return [
            *self._take_from([*before, *self.line], room),
            *self._take_by_key(room),
            *self._take_from(behind, room),
        ]

    def _take_by_key(self, room: Room) -> list[Job]:
        """One job of each key in turn."""
        taken: list[Job] = []
        while self.ring and room.slots:
            line = self.lines[self.ring.pop(0)]
            id = line[0]  # of the model's jobs, all of a key have the same limit
            job = self.jobs.get(id)
            if job is None or self._has_room(job):
                line.pop(0)
                if job is not None and self.expired(id):
                    self._bury(job)
                elif job is not None and job.state == "active":
                    room.slots -= 1
                    taken.append(self._start(job))
            if others := [other for other in self.jobs.values() if other.id in line]:
                self._offer(others[0])
        return taken

    def _take_from(self, ids: Sequence[str], room: Room) -> list[Job]:
        taken: list[Job] = []
        passed: list[str] = []  # stale ones go with the next job that is taken
        for id in ids:
            if self.stale(id) or self.expired(id):
                passed.append(id)
            elif room.takes(self.jobs[id]):
                for stale in passed:
                    self._drop(stale)
                passed = []
                taken.append(self._start(self.jobs[id]))
            else:
                break
        if room.slots:
            for stale in passed:
                self._drop(stale)
        return taken

    def _ranked_apart(self) -> tuple[list[str], list[str]]:
        ranked = [self.jobs[id] for id in self.ranked()]
        before = [job.id for job in ranked if job.priority > 0]
        behind = [job.id for job in ranked if job.priority < 0]
        return before, behind

    def _start(self, job: Job) -> Job:
        if not job.priority and not job.key:
            self.line.remove(job.id)
        job.state = "processing"
        job.token += 1
        job.attempts += 1
        if job.until == "start":
            self._free(job)
        return job

    def _drop(self, id: str) -> None:
        """Take a stale id out of the line; garbage becomes a failed job."""
        self.line.remove(id)
        if self.expired(id):
            self._bury(self.jobs[id])
        elif id in self.cancelled:
            self.cancelled.remove(id)
        elif id in self.jobs:
            self.jobs[id].listed = False
        else:
            name = "garbage-" + hashlib.sha1(id.encode("latin-1")).hexdigest()
            if name not in self.cancelled:
                self.jobs.setdefault(name, Job(name, state="failed"))
            self.aged.discard(name)

    def drop_stale(self, left: int) -> None:
        """How far a claim looks beyond the last job that it takes is its own affair."""
        while len(self.line) > left:
            head = self.line[0]
            if not (self.stale(head) or self.expired(head)):
                break
            self._drop(head)

    def last_claim(self, worker: str) -> list[Proof]:
        """Id and token of each job of a worker's last claim that it still holds."""
        _, ids = self.claims.get(worker, (0, []))
        return [(id, self.jobs[id].token) for id in ids if id in self.of(worker)]

    def of(self, worker: str) -> list[str]:
        return [id for id in self.ids("processing") if self.jobs[id].worker == worker]

    def held(
        self, worker: str, number: int, known: Sequence[Proof]
    ) -> tuple[str, list[bool], list[Proof]]:
        stands = [self.standing(worker, id, token) == APPLIED for id, token in known]
        unknown = [proof for proof in self.last_claim(worker) if proof not in known]
        seen, last = self.claims.get(worker, (0, []))
        self.claims[worker] = (max(seen, number), last)
        self.workers.setdefault(worker, 0)
        return self.life(worker), stands, unknown

    def close(self, worker: str, *, answered: bool) -> list[Proof]:
        held = self.last_claim(worker)
        if answered and not held:
            self.workers.pop(worker, None)
            self.claims.pop(worker, None)
        elif self.workers.get(worker) != OLD:
            self.workers[worker] = CLOSED
        return held

    def sweep(self, asking: str, *, grace_over: bool) -> tuple[bool, list[Orphan]]:
        """Whether a worker was found dead; the jobs to take back, and those of who asks."""
        for id in self.aged & set(self.ids("failed")):
            self.discard(id)
        found = False
        for worker, lease in self.workers.items():
            if not isinstance(lease, int):
                continue
            if self.suspects.get(worker) != lease:
                self.suspects[worker] = lease
            elif grace_over:
                del self.suspects[worker]
                self.workers[worker] = CLOSED
                found = True
        orphans = []
        for id in self.ids("processing"):
            job = self.jobs[id]
            lease = self.workers.setdefault(job.worker, 0)
            if job.worker == asking or lease == OLD or (lease == CLOSED and grace_over):
                orphans.append((id, job.token, job.worker))
        for worker in [worker for worker, lease in self.workers.items() if lease == OLD]:
            if not self.of(worker):
                del self.workers[worker]
                self.claims.pop(worker, None)
        return found, sorted(orphans)

    # Settling.

    def standing(self, worker: str, id: str, token: int) -> Answer:
        job = self.jobs.get(id)
        if job is None:
            return NOT_APPLIED if id in self.cancelled else ALREADY_DONE
        if job.token == 0:
            return NOT_APPLIED  # pushed again after it had ended
        if job.token != token:
            return ANOTHERS
        if job.state != "processing":
            return ALREADY_DONE
        return APPLIED if job.worker == worker else ANOTHERS

    def settle(self, worker: str, outcome: str, proofs: Sequence[Proof]) -> list[Answer]:
        """What came of jobs, oldest first; those given back keep that order at the head."""
        backwards = outcome in ("released", "unknown")
        answers: list[Answer] = []
        for proof in reversed(proofs) if backwards else proofs:
            answers.append(self.standing(worker, *proof))
            if answers[-1] == APPLIED:
                self._end(self.jobs[proof[0]], outcome)
        return answers[::-1] if backwards else answers

    def _end(self, job: Job, outcome: str) -> None:
        self._leave(job)
        if outcome in ("succeeded", "kept"):
            self._free(job)
        if outcome == "succeeded":
            del self.jobs[job.id]
            self._mark(job, "succeeded")
        elif outcome == "kept":
            job.state = "succeeded"  # and says who ran it
            self._mark(job, "succeeded")
        elif outcome == "failed":
            self._bury(job)
        elif job.stopped:
            job.attempts -= outcome in ("released", "unknown", "snoozed")
            self._bury(job)
        elif outcome == "again":
            self._wait_last(job)
        elif outcome == "later":
            self._schedule(job, (9000, 9000))
        else:
            job.attempts -= 1
            if outcome == "released":
                self._wait_first(job)
            elif outcome == "snoozed":
                self._schedule(job, (7000, 7000))
            else:
                self._schedule(job, (1, 30))

    def _bury(self, job: Job) -> None:
        job.state, job.worker, job.stopped = "failed", "", False
        self._free(job)
        self.aged.discard(job.id)
        self._mark(job, "failed")

    def recover(self, orphans: Sequence[Orphan]) -> list[str]:
        """Jobs of dead workers, oldest first: each goes to the head, waits, or has failed."""
        return [
            self._take_back(self.jobs[id]) if self.standing(worker, id, token) == APPLIED else ""
            for id, token, worker in reversed(orphans)
        ][::-1]

    def _take_back(self, job: Job) -> str:
        self._leave(job)
        job.token += 1
        job.crashes += 1
        if job.stopped or job.attempts >= job.max_attempts:
            self._bury(job)
        elif job.crashes > 1:
            self._schedule(job, (0, 2**job.crashes))
        else:
            self._wait_first(job)
        return job.state

    # Operators.

    def retry(self, id: str) -> bool | str:
        job = self.jobs.get(id)
        if job is None or job.state != "failed":
            return False
        if self.stands(job.unique):
            return "held"
        if job.unique:
            self.locks[job.unique] = id
        job.attempts, job.crashes, job.late = 0, 0, False
        self._mark(job, "waiting")
        if job.listed:
            job.state, job.listed = "active", False
            self._wake()
        else:
            self._wait_last(job)
        return True

    def stop(self, id: str) -> bool:
        job = self.jobs.get(id)
        if job is None or job.state != "processing":
            return False
        job.stopped = True
        return True

    def edit(self, id: str, payload: object) -> bool | str:
        return self.retry(id)

    def empty(self, limit: int) -> tuple[int, int]:
        before, behind = self._ranked_apart()
        keyed = sorted((job for job in self._active() if job.key), key=lambda job: job.rank[1])
        ids = [*before, *self.line, *(job.id for job in keyed), *behind][:limit]
        deleted = 0
        for id in ids:
            if self.stale(id):
                self._drop(id)
                continue
            job = self.jobs.pop(id)
            self._free(job)
            if not job.priority and not job.key:
                self.line.remove(id)
            self._mark(job, "cancelled")
            deleted += 1
        return deleted, len(ids)

    def fail(self, id: str, reason: str) -> bool:
        if not self._withdraw(id):
            return False
        self._bury(self.jobs[id])
        return True

    def _withdraw(self, id: str) -> bool:
        job = self.jobs.get(id)
        if job is None or job.state not in ("active", "scheduled"):
            return False
        job.listed = job.state == "active" and not job.priority and not job.key
        self.due.pop(id, None)
        return True

    def discard(self, id: str) -> bool:
        job = self.jobs.get(id)
        if job is None or job.state != "failed":
            return False
        del self.jobs[id]
        if job.listed:
            self.cancelled.add(id)
        return True

    def cancel(self, id: str) -> bool:
        if not self._withdraw(id):
            return False
        job = self.jobs.pop(id)
        self._free(job)
        if job.listed:
            self.cancelled.add(id)
        self._mark(job, "cancelled")
        return True

    def limit(self, limits: Limits) -> bool:
        return self._limit(limits.concurrency)

    def limit_as_set(self) -> bool:
        return self._limit(None)

    def _limit(self, most: int | None) -> bool:
        changed, self.most = self.most != most, most
        if changed and self.claimable:
            self._wake()
        return changed

    def pause(self) -> bool:
        changed, self.paused = not self.paused, True
        return changed

    def resume(self) -> bool:
        changed, self.paused = self.paused, False
        if changed and self.claimable:
            self._wake()
        return changed
