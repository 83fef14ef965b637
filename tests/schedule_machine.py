"""A Hypothesis state machine: a queue's schedules in a real Redis, and their model, step by step.

Two projects define them, each in releases that begin one after the other; workers are late with
what they were told. Time passes by moving scores into the past.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from redis import Redis

from django_jobs.claims import beat_call, claim_call, read_claim
from django_jobs.invariants import check
from django_jobs.line import run
from django_jobs.options import NewJob
from django_jobs.queue import Queue
from django_jobs.rhythm import Rhythm
from django_jobs.schedule import LATE, Due, Schedule

NAMES = ("a", "b", "c")
HOUR = 3_600_000
AGES = (300.0, 200.0, 100.0)  # seconds that a release has been running: three releases
UNTOLD, PAUSED = 0.0, float("inf")
Draw = Callable[[st.SearchStrategy[Any]], Any]

STEPS = [
    *["a_release_defines", "time_passes", "a_worker_claims", "a_worker_fires"] * 3,
    *["an_operator_acts"] * 2,
    "jobs_end",
]

schedules = st.builds(
    lambda name, every, missed, unique: Schedule(
        *(name, "email", Rhythm(every=every), missed, NewJob("", "h", "{}", unique=unique))
    ),
    st.sampled_from(NAMES),
    st.sampled_from([HOUR, 2 * HOUR]),
    st.sampled_from(["once", "skip"]),
    st.sampled_from(["", "end:k"]),
)


@dataclass
class Plan:
    """One schedule, as it should be."""

    schedule: Schedule
    project: str
    release: int
    due: float = UNTOLD
    recent: list[str] = field(default_factory=list)  # the newest first


class ScheduleMachine(RuleBasedStateMachine):
    """Releases, workers, operators and time: whatever happens to schedules."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        client.flushall()
        self.client: Any = client
        self.queue = Queue("email", client)
        self.plans: dict[str, Plan] = {}
        self.named: list[tuple[Due, int]] = []  # by claims, with their time
        self.jobs: list[str] = []  # the unique key of each job that waits
        self.number = 0

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """One rule for all: of several, Hypothesis would leave out half in each example."""
        self.client.delete("jobs:email:wake")
        step, before = data.draw(st.sampled_from(STEPS)), self.first()
        getattr(self, step)(data.draw)
        if step != "time_passes" and self.first() < before:
            self.somebody_looks_by(self.first())

    @invariant()
    def redis_is_as_the_model(self) -> None:
        found = {one.name: one for one in self.queue.schedules()}
        scores = dict(self.client.zrange("jobs:email:schedules", 0, -1, withscores=True))
        assert {name.decode(): due for name, due in scores.items()} == {
            name: plan.due for name, plan in self.plans.items()
        }
        for name, plan in self.plans.items():
            one = found[name]
            assert (one.rhythm, one.missed) == (plan.schedule.rhythm, plan.schedule.missed)
            assert (one.project, one.paused) == (plan.project, plan.due == PAUSED)
            assert one.options.get("unique", "") == plan.schedule.job.unique
            assert [past.kind for past in one.recent] == plan.recent[:20]
        assert self.client.llen("jobs:email:active") == len(self.jobs)
        assert check(self.queue) == []

    def first(self) -> float:
        return min((plan.due for plan in self.plans.values()), default=PAUSED)

    def somebody_looks_by(self, due: float) -> None:
        """A hint wakes a worker, or one has an alarm that is early enough."""
        alarm = self.client.hget("jobs:email:meta", "alarm_at")
        assert self.client.llen("jobs:email:wake") or (alarm and float(alarm) <= due)

    def now(self) -> int:
        seconds, microseconds = self.client.time()
        return int(seconds * 1000 + microseconds // 1000)

    # What happens.

    def a_release_defines(self, draw: Draw) -> None:
        project, release = draw(st.sampled_from("pq")), draw(st.integers(0, 2))
        some = draw(st.lists(schedules, max_size=3, unique_by=lambda one: one.name))
        assert run(self.client, self.queue.define(project, AGES[release], some)) == 1
        names = {one.name for one in some}
        for name, plan in list(self.plans.items()):
            if name not in names and plan.project == project and plan.release <= release:
                del self.plans[name]
        for one in some:
            old = self.plans.get(one.name)
            if old is not None and old.release > release:
                continue
            new = self.plans[one.name] = Plan(one, project, release)
            if old is not None:
                same = old.schedule.rhythm == one.rhythm or old.due == PAUSED
                new.due, new.recent = old.due if same else UNTOLD, old.recent

    def time_passes(self, draw: Draw) -> None:
        """Some are due; sometimes for so long that they count as missed."""
        now = self.now()
        for name, plan in self.plans.items():
            if plan.due != PAUSED and draw(st.booleans()):
                plan.due = now - draw(st.sampled_from([1000, LATE + 60_000, 5 * HOUR]))
                self.client.zadd("jobs:email:schedules", {name: plan.due})
        if self.first() < PAUSED:
            self.client.hset("jobs:email:meta", "schedules_at", int(self.first()))

    def claim(self, slots: int) -> Any:
        self.number += 1
        run(self.client, beat_call([self.queue], 1000, ["w"]))
        call = claim_call([self.queue], "w", self.number, 1000, slots=slots)
        return read_claim(run(self.client, call), [self.queue])

    def a_worker_claims(self, draw: Draw) -> None:
        answer = self.claim(0)
        due = {name for name, plan in self.plans.items() if plan.due <= answer.now}
        assert {one.name.decode() for one in answer.due} == due
        self.named += [(one, answer.now) for one in answer.due]
        if not due and self.first() < PAUSED:
            self.somebody_looks_by(self.first())
            assert answer.look is not None

    def a_worker_fires(self, draw: Draw) -> None:
        """Do what one of the last claims named; by now it may be another's, or done."""
        if not self.named:
            return
        due, now = draw(st.sampled_from(self.named[:-6:-1]))
        answer = run(self.client, self.queue.fire(due, now))
        plan, at = self.plans.get(due.name.decode()), float(due.due)
        stands = plan is not None and plan.due == at and plan.schedule.rhythm == due.rhythm
        assert answer == stands
        if plan is not None and stands:
            if at and (now - at <= LATE or due.missed == "once"):
                self.push(plan)
            elif at:
                plan.recent.insert(0, "missed")
            every = due.rhythm.every
            start = at if now - at <= LATE else now
            plan.due = (start // every + 1) * every
            self.somebody_looks_by(self.first())

    def push(self, plan: Plan) -> None:
        unique = plan.schedule.job.unique
        stands = bool(unique) and unique in self.jobs
        plan.recent.insert(0, "skipped" if stands else "pushed")
        if not stands:
            self.jobs.append(unique)

    def an_operator_acts(self, draw: Draw) -> None:
        name = draw(st.sampled_from(NAMES))
        verb = draw(st.sampled_from(["pause", "resume", "run", "remove"]))
        answer, plan = getattr(self.queue, f"{verb}_schedule")(name), self.plans.get(name)
        if plan is None:
            assert not answer
        elif verb == "run":
            assert answer
            self.push(plan)
        elif verb == "remove":
            assert answer
            del self.plans[name]
        else:
            assert answer == (plan.due == PAUSED) ^ (verb == "pause")
            if answer:
                plan.due = PAUSED if verb == "pause" else UNTOLD

    def jobs_end(self, draw: Draw) -> None:
        jobs = self.claim(100).jobs
        assert len(jobs) == len(self.jobs)
        if jobs:
            call = self.queue.settle_succeeded("w", [(job.id, job.token) for job in jobs])
            assert run(self.client, call) == [1] * len(jobs)
        self.jobs.clear()
