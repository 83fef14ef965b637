"""A Hypothesis state machine: two queues in a real Redis, and their models, step by step.

Workers go stale and go on; requests come late, again, or after others that were sent
later; replies are lost. Time passes by moving scores into the past.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from redis import Redis

from django_jobs.job import Job
from django_jobs.limits import Limits
from django_jobs.options import NewJob
from django_jobs.queue import Queue
from tests.model import APPLIED, CLOSED, LIVE, OLD, Proof
from tests.twin import Request, Twin, beat, claim, sweep

# How often a job may run, by its id: who pushes an id again pushes the same job.
MAX_ATTEMPTS = {"a": 5, "b": 1, "c": 2, "d": 3, "e": 5, "f": 2, "k": 5, "l": 3, "m": 2, "n": 5}
MAX_ATTEMPTS |= {"x": 5, "y": 2, "z": 3}
BATCHES = {"x": "one", "y": "two", "z": "two"}
CALLBACKS = ("on_success", "on_complete", "on_failure")
LIMITS = {"k": ("one", 1), "l": ("one", 1), "m": ("one", 1), "n": ("two", 2)}
GARBAGE = ["no-such-job", "\xff\xfe"]
ANSWERED, LOST, LATE = "answered", "reply lost", "still under way"

SETTINGS = settings(
    stateful_step_count=50,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
STEPS = [
    *["a_worker_turns"] * 4,
    *["somebody_settles", "an_operator_acts"] * 3,
    *["jobs_are_pushed", "time_passes", "a_worker_dies", "a_worker_is_silent"] * 2,
    "a_request_comes_late_or_again",
]
Draw = Callable[[st.SearchStrategy[Any]], Any]

fates = st.sampled_from([*[ANSWERED] * 3, LOST, LATE])
outcomes = st.sampled_from(
    [*["succeeded", "again", "released"] * 2, "kept", "failed", "later", "snoozed", "unknown"]
)
verbs = st.sampled_from(
    [
        *["retry", "fail", "resume"] * 2,
        "discard",
        "cancel",
        "edit",
        "stop",
        "empty",
        "promote",
        "pause",
        *["limit", "limit_as_set"],
    ]
)


def new_job(id: str, due: str, late: str, priority: int, unique: str) -> NewJob:
    key, limit = LIMITS.get(id, ("", 1))
    batch = BATCHES.get(id, "")
    priority = 0 if key else priority
    late, unique = "" if priority or batch else late, "" if batch else unique
    values = (id, "h", "{}", due, late, priority, unique, MAX_ATTEMPTS[id])
    return NewJob(*values, limit_key=key, limit=limit, batch=batch)


def said_of_batch(batch: str, what: str) -> NewJob:
    """Its seal, or a job that is to follow."""
    if what != "seal":
        return NewJob(f"{batch}-{what}", "h", "{}", batch=batch, callback=what)
    total = list(BATCHES.values()).count(batch)
    ids = [value for name in CALLBACKS for value in (name, f"{batch}-{name}")]
    return NewJob(batch, "h", "{}", seal=("seal", total, *ids))


jobs = st.builds(
    new_job,
    st.sampled_from([*sorted(MAX_ATTEMPTS), *BATCHES]),
    st.sampled_from([*[""] * 4, "+1000000"]),
    st.sampled_from([*[""] * 5, "+1000000", "1"]),
    st.sampled_from([0, 0, 0, 1, 2, -1]),
    st.sampled_from([*[""] * 6, "end:k", "start:k", "+end:k", "+start:k"]),
)
words = st.builds(
    said_of_batch, st.sampled_from(["one", "two"]), st.sampled_from(["seal", *CALLBACKS])
)
new_jobs = st.integers(0, 5).flatmap(lambda number: words if number == 0 else jobs)


@dataclass(eq=False)
class Worker:
    """What a worker knows of itself, and what of it is on its way."""

    id: str
    number: int = 0
    known: list["Claim"] = field(default_factory=list)  # oldest first
    in_doubt: bool = False  # a claim was not answered
    late: Request | None = None  # a claim that is still under way

    def __repr__(self) -> str:
        return self.id

    def of(self, twin: Twin) -> list[Proof]:
        return [claim.proof for claim in self.known if claim.twin is twin]


@dataclass(frozen=True)
class Claim:
    """A job as some worker claimed it once; by now it may be another's."""

    worker: Worker
    twin: Twin
    proof: Proof
    attempt: int = field(compare=False)

    @property
    def is_last(self) -> bool:
        return self.attempt >= MAX_ATTEMPTS.get(self.proof[0], 5)


class Machine(RuleBasedStateMachine):
    """Workers, operators, time and bad luck: whatever happens to a queue."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        client.flushall()
        self.client: Any = client
        self.twins = [Twin(Queue(name, client)) for name in ("one", "two")]
        self.workers: list[Worker] = []
        self.claims: list[Claim] = []
        self.requests: list[Request] = []
        self.touched: set[Twin] = set()
        self.number = 0

    def next(self) -> int:
        self.number += 1
        return self.number

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule for all: of several, Hypothesis would leave out half in each example."""
        getattr(self, data.draw(st.sampled_from(STEPS)))(data.draw)

    @invariant()
    def redis_is_as_the_model(self) -> None:
        for twin in self.touched:
            twin.compare()
        self.touched.clear()

    def some_twin(self, draw: Draw) -> Twin:
        """Mostly the first: two are needed only where a claim takes from both."""
        twin: Twin = draw(st.sampled_from([*self.twins[:1] * 3, self.twins[1]]))
        return twin

    def some_worker(self, draw: Draw) -> Worker:
        """One of the last few: some of them are dead and do not know it."""
        worker: Worker = draw(st.sampled_from(self.workers[:-5:-1]))
        return worker

    # Requests and what becomes of them.

    def ask(self, request: Request, fate: str = ANSWERED) -> Any:
        self.requests.append(request)
        return None if fate == LATE else self.exchange(request)

    def exchange(self, request: Request) -> Any:
        since = self.twins[0].now()
        answer, expected = request.send(), request.expect()
        assert answer == expected
        for twin in request.twins:
            twin.look_at_delays(since)
        self.touched.update(request.twins)
        return answer

    def a_request_comes_late_or_again(self, draw: Draw) -> None:
        if self.requests:
            self.exchange(draw(st.sampled_from(self.requests[:-20:-1])))

    def nothing_is_under_way_of(self, worker: str) -> None:
        self.requests = [request for request in self.requests if request.worker != worker]

    # Jobs come, workers take them.

    @initialize(jobs=st.lists(new_jobs, min_size=4, max_size=8), slots=st.integers(1, 3))
    def work_begins(self, jobs: list[NewJob], slots: int) -> None:
        self.ask(self.twins[0].push(jobs))
        self.new_worker()
        self.new_worker()
        self.claim(self.workers[0], self.twins[:1], (slots, 0), ANSWERED)

    def new_worker(self) -> None:
        worker = Worker(f"w{self.next()}")
        self.workers.append(worker)
        self.exchange(beat(self.twins, [worker.id]))

    def jobs_are_pushed(self, draw: Draw) -> None:
        jobs = draw(st.lists(new_jobs, min_size=1, max_size=4))
        self.ask(self.some_twin(draw).push(jobs), draw(fates))

    def a_worker_turns(self, draw: Draw) -> None:
        """Settle what is done and claim, in one round trip; after one that was lost ask first."""
        worker = self.some_worker(draw)
        if worker.in_doubt:
            self.ask_what_is_held(worker, draw(st.sampled_from([ANSWERED, LOST])))
            return
        twin, outcome, fate = self.some_twin(draw), draw(st.none() | outcomes), draw(fates)
        if outcome:
            self.settle([claim for claim in worker.known if claim.twin is twin], outcome, fate)
        one, two = self.twins
        twins = draw(st.sampled_from([[one], [one], [two], [one, two], [two, one]]))
        self.claim(worker, twins, draw(st.tuples(st.integers(0, 4), st.integers(0, 2))), fate)

    def claim(self, worker: Worker, twins: list[Twin], room: tuple[int, int], fate: str) -> None:
        worker.number += 1
        request = claim(twins, worker.id, worker.number, *room)
        answer = self.ask(request, fate)
        worker.in_doubt, worker.late = fate != ANSWERED, request if fate == LATE else None
        for name, id, token, attempt in [] if worker.in_doubt else answer[1]:
            (twin,) = (twin for twin in twins if twin.queue.name == name)
            self.hold(Claim(worker, twin, (id, token), attempt))

    def hold(self, claim: Claim) -> None:
        """Let a worker know of a job; what it said under the same proof, it said before."""
        claim.worker.known.append(claim)
        self.claims = [other for other in self.claims if other != claim] + [claim]
        self.requests = [
            request
            for request in self.requests
            if request.worker != claim.worker.id
            or claim.twin not in request.twins
            or claim.proof not in request.proofs
        ]

    def ask_what_is_held(self, worker: Worker, fate: str) -> None:
        """After a claim that was not answered: then the worker knows all that it holds."""
        worker.number += 1
        for twin in self.twins:
            proofs = worker.of(twin)
            answer = self.ask(twin.held(worker.id, worker.number, proofs), fate)
            if fate == ANSWERED:
                _, stands, unknown = answer
                lost = [proof for proof, stand in zip(proofs, stands, strict=True) if not stand]
                self.forget(worker, twin, lost)
                self.say(worker, twin, "released", unknown, ANSWERED)
        if fate == ANSWERED:
            self.nothing_is_unknown_to(worker)

    def nothing_is_unknown_to(self, worker: Worker) -> None:
        """A claim that is executed only now gets nothing."""
        if worker.late:
            self.exchange(worker.late)
        worker.in_doubt, worker.late = False, None
        for twin in self.twins:
            assert set(twin.model.of(worker.id)) <= dict(worker.of(twin)).keys()

    def forget(self, worker: Worker, twin: Twin, proofs: list[Proof]) -> None:
        worker.known = [
            claim for claim in worker.known if claim.twin is not twin or claim.proof not in proofs
        ]

    # Workers say what came of jobs, stale ones too.

    def somebody_settles(self, draw: Draw) -> None:
        if not self.claims:
            return
        some = st.sampled_from(self.claims[:-12:-1])
        first, *others = draw(
            st.lists(some, min_size=1, max_size=3, unique_by=lambda claim: claim.proof[0])
        )
        others = [c for c in others if (c.worker, c.twin) == (first.worker, first.twin)]
        self.tell_progress(first)
        self.settle([first, *others], draw(outcomes), draw(fates))

    def settle(self, claims: list[Claim], outcome: str, fate: str) -> None:
        """Say what came of claims of one worker; who is on its last attempt is not tried again."""
        last = [claim for claim in claims if claim.is_last and outcome in ("again", "later")]
        more = [claim for claim in claims if claim not in last]
        for some, what in ((last, "failed"), (more, outcome)):
            if some:
                proofs = [claim.proof for claim in some]
                self.say(some[0].worker, some[0].twin, what, proofs, fate)

    def say(self, worker: Worker, twin: Twin, outcome: str, proofs: list[Proof], fate: str) -> None:
        if proofs:
            self.ask(twin.settle(worker.id, outcome, proofs), fate)
        if fate == ANSWERED:
            self.forget(worker, twin, proofs)

    def tell_progress(self, claim: Claim) -> None:
        (id, token), twin, worker = claim.proof, claim.twin, claim.worker.id
        text, before = f"step {self.next()}", twin.queue.job(id)
        twin.queue.progress_function(worker)(Job(id, "one", "h", {}, token=token), 0.5, text)
        after = twin.queue.job(id)
        if twin.model.standing(worker, id, token) == APPLIED:
            assert after is not None
            assert text in after.progress
        else:
            assert after == before

    # Workers die.

    def a_worker_dies(self, draw: Draw) -> None:
        """Its supervisor closes it and moves its jobs, or ends before it can do so."""
        worker = self.some_worker(draw)
        ends = draw(st.sampled_from(["killed", "stopped", "with its supervisor"]))
        answered = not worker.in_doubt and self.claimed_at_once(worker)
        for twin in self.twins:
            held, known = self.ask(twin.close(worker.id, answered=answered)), worker.of(twin)
            if ends == "with its supervisor":
                continue
            if known and ends == "killed":
                self.ask(twin.recover([(*proof, worker.id) for proof in known]))
            else:
                self.say(worker, twin, "released", known, ANSWERED)
            unknown = [proof for proof in held if proof not in known]
            self.say(worker, twin, "released", unknown, ANSWERED)
            self.forget(worker, twin, known)
        if ends != "with its supervisor":
            self.nothing_is_unknown_to(worker)
        if answered:
            self.nothing_is_under_way_of(worker.id)
        self.new_worker()

    def claimed_at_once(self, worker: Worker) -> bool:
        """Only such a worker (a pull's) may close saying that no claim is under way."""
        return all(
            set(worker.of(twin)) <= set(twin.model.last_claim(worker.id)) for twin in self.twins
        )

    def a_worker_is_silent(self, draw: Draw) -> None:
        """Its lease ends; sweeps look, workers beat in between; what is found is taken back."""
        worker = self.some_worker(draw)
        for twin in self.twins:
            if twin.model.workers.get(worker.id) == LIVE:
                self.lease_ends(twin, worker.id)
        for beats in draw(st.lists(st.booleans(), min_size=1, max_size=3)):
            if beats:
                self.ask(beat(self.twins, [self.some_worker(draw).id]), draw(fates))
            asking, grace_over = self.some_worker(draw).id, draw(st.booleans())
            answers = self.exchange(sweep(self.twins, asking, grace_over=grace_over))
            for twin, (_, found) in zip(self.twins, answers, strict=True):
                orphans = [orphan for orphan in found if orphan[2] != asking]
                if orphans:
                    self.ask(twin.recover(orphans), draw(fates))

    # Operators.

    def an_operator_acts(self, draw: Draw) -> None:
        """One job, up to three verbs: people change their minds."""
        twin = self.some_twin(draw)
        jobs = twin.model.jobs.values()
        waiting = [job.id for job in jobs if job.state != "succeeded"]
        id = draw(st.sampled_from([*waiting, *twin.model.jobs, "nobody"]))
        for verb in draw(st.lists(verbs, min_size=1, max_size=3)):
            args: dict[str, tuple[Any, ...]] = {
                "pause": (),
                "resume": (),
                "promote": (1,),
                "empty": (2,),
                "limit": (Limits(concurrency=2),),
                "limit_as_set": (),
            }
            args |= {"fail": (id, "wrong"), "edit": (id, {})}
            self.ask(twin.operate(verb, *args.get(verb, (id,))), draw(fates))

    # Time passes. Each moment is another one, and so is each lease.

    def time_passes(self, draw: Draw) -> None:
        twin = self.some_twin(draw)
        model = twin.model
        closed = [worker for worker, lease in model.workers.items() if lease == CLOSED]
        cases: list[tuple[Callable[[Twin, str], None], list[str]]] = [
            *[(self.falls_due, list(model.due))] * 2,
            (self.failed_long_ago, model.ids("failed")),
            (self.was_closed_long_ago, closed),
            (self.loses_its_entry, list(model.workers)),
            (self.takes_the_hint, ["somebody"]),
            (self.pushes_garbage, GARBAGE),
        ]
        case, names = draw(st.sampled_from([case for case in cases if case[1]]))
        case(twin, draw(st.sampled_from(names)))

    def falls_due(self, twin: Twin, id: str) -> None:
        twin.model.due[id] = at = self.next()
        self.client.zadd(twin.key("scheduled"), {id: at}, xx=True)

    def lease_ends(self, twin: Twin, worker: str) -> None:
        twin.model.workers[worker] = at = self.next()
        self.client.zadd(twin.key("workers"), {worker: at}, xx=True)

    def was_closed_long_ago(self, twin: Twin, worker: str) -> None:
        twin.model.workers[worker] = OLD
        self.client.zadd(twin.key("workers"), {worker: -1}, xx=True)
        self.nothing_is_under_way_of(worker)

    def failed_long_ago(self, twin: Twin, id: str) -> None:
        twin.model.aged.add(id)
        self.client.zadd(twin.key("failed"), {id: 1}, xx=True)

    def loses_its_entry(self, twin: Twin, worker: str) -> None:
        """As when Redis lost what it wrote last; the next sweep enters it again."""
        del twin.model.workers[worker]
        self.client.zrem(twin.key("workers"), worker)
        self.exchange(sweep(self.twins, "nobody", grace_over=False))

    def takes_the_hint(self, twin: Twin, _: str) -> None:
        self.client.lpop(twin.key("wake"))
        twin.model.hint = False

    def pushes_garbage(self, twin: Twin, text: str) -> None:
        self.client.lpush(twin.key("active"), text.encode("latin-1"))
        twin.model.line.append(text)
