"""A queue in Redis beside its model: what is said to one is said to the other."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django_jobs.claims import (
    beat_call,
    claim_call,
    orphans,
    pairs,
    read_claim,
    read_held,
    sweep_call,
)
from django_jobs.exceptions import UniqueHeld
from django_jobs.failure import Failure
from django_jobs.invariants import check
from django_jobs.line import run
from django_jobs.options import NewJob
from django_jobs.queue import Queue
from django_jobs.scripts import Call
from tests.model import CLOSED, LIVE, OLD, Model, Orphan, Proof, Room

LEASE = 1000.0  # seconds: nothing ends by itself while an example runs
FAR = 10**15  # ms
FIELDS = ("state", "attempts", "max_attempts", "token", "crashes", "priority", "worker")
WHY = Failure("ValueError", "no", "a worker", "Traceback")


@dataclass(frozen=True)
class Request:
    """Something to say to Redis and to the model, perhaps late, perhaps twice."""

    twins: Sequence["Twin"]  # the queues it concerns
    send: Callable[[], Any]
    expect: Callable[[], Any]
    worker: str = ""
    proofs: Sequence[Proof] = ()


class Twin:
    """One queue: as it is, and as it should be."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.model = Model(queue.name)
        self.client: Any = queue.client

    def __repr__(self) -> str:
        return self.queue.name

    def key(self, name: str) -> str:
        return f"{self.queue.root}:{name}"

    def run(self, call: Call) -> Any:
        return run(self.client, call)

    # Requests.

    def push(self, jobs: list[NewJob]) -> Request:
        return Request([self], lambda: self.queue.add(jobs), lambda: self.model.push(jobs))

    def operate(self, verb: str, *args: Any) -> Request:
        """What an operator does: every verb is a method of both."""
        return Request(
            [self],
            lambda: tried(lambda: getattr(self.queue, verb)(*args)),
            lambda: getattr(self.model, verb)(*args),
        )

    def held(self, worker: str, number: int, known: list[Proof]) -> Request:
        call = self.queue.held(worker, number, known)

        def send() -> Any:
            answer = read_held(self.run(call))
            return answer.state, answer.stands, answer.unknown

        return Request([self], send, lambda: self.model.held(worker, number, known), worker)

    def close(self, worker: str, *, answered: bool) -> Request:
        call = self.queue.close(worker, answered=answered)
        return Request(
            [self],
            lambda: pairs(self.run(call)),
            lambda: self.model.close(worker, answered=answered),
            worker,
        )

    def settle(self, worker: str, outcome: str, proofs: list[Proof]) -> Request:
        """Say what came of jobs: succeeded, failed, again (at once), later, snoozed..."""
        queue = self.queue
        call = {
            "succeeded": lambda: queue.settle_succeeded(worker, proofs),
            "kept": lambda: queue.settle_kept(worker, [(*proof, 9e3, "7") for proof in proofs]),
            "failed": lambda: queue.settle_failed(worker, [(*proof, WHY) for proof in proofs]),
            "again": lambda: queue.settle_retry(worker, [(*proof, 0.0, WHY) for proof in proofs]),
            "later": lambda: queue.settle_retry(worker, [(*proof, 9e3, WHY) for proof in proofs]),
            "snoozed": lambda: queue.settle_snoozed(worker, [(*proof, 7e3) for proof in proofs]),
            "released": lambda: queue.release(worker, proofs),
            "unknown": lambda: queue.release(worker, proofs, unknown=True),
        }[outcome]()
        return Request(
            [self],
            lambda: self.run(call),
            lambda: self.model.settle(worker, outcome, proofs),
            worker,
            proofs,
        )

    def recover(self, orphans: list[Orphan]) -> Request:
        call = self.queue.recover(orphans, WHY)
        return Request(
            [self],
            lambda: [state.decode() for state in self.run(call)],
            lambda: self.model.recover(orphans),
        )

    # Looking.

    def now(self) -> int:
        seconds, microseconds = self.client.time()
        return int(seconds * 1000 + microseconds // 1000)

    def look_at_delays(self, since: int) -> None:
        """What was just scheduled is neither early nor late; then it is put far off."""
        for id, (shortest, longest) in self.model.delays.items():
            if id in self.model.due:
                due = self.client.zscore(self.key("scheduled"), id)
                assert due is not None, "it is not scheduled"
                assert since + shortest * 1000 <= due <= self.now() + longest * 1000
                self.client.zadd(self.key("scheduled"), {id: FAR})
        self.model.delays.clear()

    def jobs(self) -> dict[str, Any]:
        """What Redis says of each job that should exist."""
        return {
            id: said(record) for id in self.model.jobs if (record := self.queue.job(id)) is not None
        }

    def groups(self) -> dict[str, list[str]]:
        """In which groups each failed job is; the index knows them all."""
        names = [name.decode() for name in self.client.hkeys(self.key("groups"))]
        keys = self.client.keys(self.key("group:*"))
        assert {key.decode() for key in keys} == {self.key(f"group:{name}") for name in names}
        found: dict[str, list[str]] = {}
        for name in names:
            for id in self.client.zrange(self.key(f"group:{name}"), 0, -1):
                found.setdefault(id.decode(), []).append(name)
        return found

    def compare(self) -> None:
        model = self.model
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.lrange(self.key("active"), 0, -1)
            pipeline.zrange(self.key("priority"), 0, -1)
            pipeline.zrange(self.key("workers"), 0, -1, withscores=True)
            pipeline.llen(self.key("wake"))
            pipeline.hkeys(self.key("claims"))
            line, ranked, workers, hints, claims = pipeline.execute()
        assert [id.decode("latin-1") for id in reversed(line)] == model.line
        assert [id.decode() for id in ranked] == model.ranked()
        assert {worker.decode(): lease_of(score) for worker, score in workers} == {
            worker: CLOSED if lease == OLD else lease for worker, lease in model.workers.items()
        }
        assert {worker.decode() for worker in claims} == set(model.claims)
        assert model.hint <= hints <= 1
        stats = self.queue.stats()
        counts = (stats.active, stats.processing, stats.failed, stats.scheduled)
        assert (*counts, stats.paused) == (*model.counts(), model.paused)
        assert self.jobs() == {id: said(job) for id, job in model.jobs.items()}
        assert self.groups() == {id: groups_of(self.queue.job(id)) for id in model.ids("failed")}
        locks = self.client.keys(self.key("unique:*"))
        assert sorted(self.client.get(lock).decode() for lock in locks) == sorted(
            model.locks.values()
        )
        assert self.batches() == {
            id: Counter(batch.jobs.values()) for id, batch in model.batches.items() if batch.jobs
        }
        not_done = {id.decode() for id in self.client.zrange(self.key("batches"), 0, -1)}
        assert not_done == {id for id, batch in model.batches.items() if not batch.done}
        assert check(self.queue) == []

    def batches(self) -> dict[str, Counter[str]]:
        """How many jobs of each batch stand how; by its counts, which are those of its jobs."""
        found = {}
        for key in self.client.keys(self.key("batch:*:jobs")):
            batch = key.decode().split(":")[-2]
            states = Counter(state.decode() for state in self.client.hvals(key))
            counts = self.client.hgetall(self.key(f"batch:{batch}"))
            assert all(int(counts.get(state.encode(), 0)) == n for state, n in states.items())
            found[batch] = states
        return found


def tried(do: Callable[[], Any]) -> Any:
    """What an operator is answered; "held" if another job of the key stands."""
    try:
        return do()
    except UniqueHeld:
        return "held"


def said(job: Any) -> dict[str, Any]:
    return {name: getattr(job, name) for name in FIELDS}


def groups_of(job: Any) -> list[str]:
    """The group that a failed job says it is in, which must be the right one."""
    right = "?" if job.exception == "Garbage" else f"{job.handler} {job.exception}"
    assert job.group == right
    return [right]


def lease_of(score: float) -> str | int:
    """A lease in the model's words."""
    if score < 0:
        return CLOSED
    return LIVE if score > 10**12 else int(score)


# Requests that concern several queues at once.


def beat(twins: Sequence[Twin], workers: list[str]) -> Request:
    call = beat_call([twin.queue for twin in twins], LEASE, workers)
    return Request(
        twins,
        lambda: [worker.decode() for worker in twins[0].run(call)],
        lambda: [worker for twin in twins for worker in twin.model.beat(workers)],
    )


def claim(twins: Sequence[Twin], worker: str, number: int, slots: int, ahead: int) -> Request:
    queues = [twin.queue for twin in twins]
    call = claim_call(queues, worker, number, LEASE, slots=slots, ahead=ahead)

    def send() -> Any:
        answer = read_claim(twins[0].run(call), queues)
        jobs = [(job.queue, job.id, job.token, job.attempt) for job in answer.jobs]
        return list(answer.states.values()), jobs

    def expect() -> Any:
        room = Room(slots, ahead)
        answers = [twin.model.claim(worker, number, room) for twin in twins]
        for twin in twins:
            twin.model.drop_stale(left=twin.client.llen(twin.key("active")))
        return [state for state, _ in answers], [row for _, rows in answers for row in rows]

    return Request(twins, send, expect, worker)


def sweep(twins: Sequence[Twin], worker: str, *, grace_over: bool) -> Request:
    """Look for dead workers and for what one holds itself; forget what failed a minute ago."""
    queues, grace = [twin.queue for twin in twins], 0.0 if grace_over else LEASE
    call = sweep_call(queues, worker, grace, [b"0"] * len(twins), [60.0] * len(twins))

    def send() -> Any:
        answers = twins[0].run(call)
        return [(found == 1, sorted(_texts(orphans(flat)))) for _, found, *flat in answers]

    return Request(
        twins, send, lambda: [twin.model.sweep(worker, grace_over=grace_over) for twin in twins]
    )


def _texts(found: list[tuple[bytes, bytes, bytes]]) -> list[tuple[str, int, str]]:
    return [(id.decode(), int(token), worker.decode()) for id, token, worker in found]
