"""What a contestant loses, repeats or forgets when something breaks."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from redis import RedisError

from benchmarks.peers.contestant import Contestant
from benchmarks.peers.speed import account
from benchmarks.peers.stand import Stand, Tell, stand

QUIET = 6.0  # seconds without any start, and nothing held in Redis: what is missing is lost
GARBAGE = b"\xff\xfe no job"
SLOTS = 4  # jobs that each contestant runs at once here
LOOP = 10  # starts of one poison, after which it is not given up any more


@dataclass
class Outcome:
    """What became of the jobs of one fault."""

    jobs: int
    lost: int = 0  # not run, and nowhere in Redis
    stuck: int = 0  # not run, and still in Redis after all the time there was
    twice: int = 0
    late: float = 0  # seconds by which the last job ended later than without the fault
    notes: list[str] = field(default_factory=list)


class Trial:
    """A contestant's worker under a manager that starts it again, as systemd does."""

    def __init__(self, place: Stand, tell: Tell, patience: float) -> None:
        self.place = place
        self.tell = tell
        self.patience = patience
        self.jobs = 0
        self.deaths = 0
        self.notes: list[str] = []
        self.due = 0.0  # when the last job would end if nothing were broken
        self.seen = (0, 0)  # how many runs have begun, and have ended
        self.began = self.ended = 0.0  # when that last changed

    def push(self, kind: str, count: int) -> None:
        """Push so many jobs more."""
        self.tell("timed", kind, self.jobs, count, "push")
        self.jobs += count

    def start(self) -> None:
        """Start the worker; return when it has begun a job."""
        self.place.start(self.place.contestant.safe)
        self.until(lambda: self.place.begun.runs(self.jobs).count(0) < self.jobs, 30)

    def hit(self, seconds: float) -> None:
        """Note that the fault is now; each of the jobs that are left takes so many seconds."""
        self.due = time.monotonic() + self.place.left(self.jobs) * seconds / SLOTS

    def look(self) -> None:
        """See what has moved; start the worker again if its top process has ended."""
        begun, ended = self.place.begun, self.place.ended
        seen = sum(begun.runs(self.jobs)), sum(ended.runs(self.jobs))
        if seen != self.seen:
            self.began = time.monotonic()
            self.ended = self.began if seen[1] != self.seen[1] else self.ended
            self.seen = seen
        if self.place.worker and self.place.worker.poll() is not None:
            self.deaths += 1
            self.place.stop(5)  # what the top process left behind ends first
            self.place.start(self.place.contestant.safe)

    def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Keep the worker up until a condition holds; return whether it came to hold."""

        def kept_up() -> object:
            self.look()
            return condition()

        return self.place.until(kept_up, seconds, pause=0.05)

    def until_ended(self, share: float) -> None:
        """Wait until a share of the jobs has ended."""
        left = round(self.jobs * (1 - share))
        self.until(lambda: self.place.left(self.jobs) <= left, self.patience / 3)

    def outcome(self) -> Outcome:
        """Wait until all have ended, or none of the rest can; count."""

        self.until(lambda: not self.place.left(self.jobs) or self.nothing_can_come(), self.patience)
        missing, twice = account(self.place.ended.runs(self.jobs))
        stuck = min(missing, self.held())
        if self.deaths:
            self.notes.append(f"its worker ended {self.deaths} times by itself")
        late = max(0.0, self.ended - self.due)
        return Outcome(self.jobs, missing - stuck, stuck, twice, late, self.notes)

    def nothing_can_come(self) -> bool:
        """Return whether no job is in Redis, and none has begun for some time."""
        return time.monotonic() - self.began > QUIET and not self.held()

    def whereabouts(self) -> str:
        """Say where in Redis that is which is left."""
        if self.place.size(self.place.contestant.failed):
            return "is among the failed"
        return "waits in Redis" if self.held() else "is nowhere"

    def held(self) -> int:
        """Return how many jobs are in Redis."""
        contestant = self.place.contestant
        return self.place.size([*contestant.held, *contestant.failed])


def kill_all(trial: Trial) -> None:
    """Kill all processes of the worker, three times: as when the machine dies."""
    trial.push("slow", 60)
    trial.start()
    for share in (0.2, 0.4, 0.6):
        trial.until_ended(share)
        trial.place.signal(signal.SIGKILL)
        trial.hit(0.2)
        trial.until(lambda: trial.deaths, 10)
        trial.deaths = 0  # these are ours


def kill_child(trial: Trial) -> None:
    """Kill the process that runs a job, three times, if it is not the top one."""
    trial.push("slow", 60)
    trial.start()
    for share in (0.2, 0.4, 0.6):
        trial.until_ended(share)
        if trial.until(lambda: working_children(trial), 5):
            with contextlib.suppress(IndexError, ProcessLookupError):
                os.kill(working_children(trial)[0], signal.SIGKILL)
        else:
            trial.notes.append("no child was at work")
        trial.hit(0.2)


def working_children(trial: Trial) -> list[int]:
    """Return the processes but the top one that run jobs."""
    place = trial.place
    runs, pids = place.ended.runs(trial.jobs), place.begun.starts(trial.jobs)
    working = {pid for pid, run in zip(pids, runs, strict=True) if pid and not run}
    top = place.worker.pid if place.worker else 0
    return sorted(working & set(place.processes()) - {top})


def terminate(trial: Trial) -> None:
    """Send SIGTERM to the worker while it runs jobs of 2 s, and start it again."""
    trial.push("long", 16)
    trial.start()
    trial.hit(2)
    sent = time.monotonic()
    ended = trial.place.stop(30)
    took = time.monotonic() - sent
    trial.notes.append(f"ended after {took:.1f} s" if ended else "did not end in 30 s")
    trial.start()


def close_connections(trial: Trial) -> None:
    """Close every connection to Redis each 300 ms, for 4 s."""
    trial.push("slow", 120)
    trial.start()
    until = time.monotonic() + 4
    while time.monotonic() < until:
        for kind in ("normal", "pubsub"):
            trial.place.redis.client_kill_filter(_type=kind, skipme=True)
        trial.hit(0.2)
        trial.until(lambda: False, 0.3)


def fill_redis(trial: Trial) -> None:
    """Let Redis be full for 3 s."""
    trial.push("slow", 80)
    trial.start()
    before = trial.place.left(80)
    trial.place.redis.config_set("maxmemory", 1)
    trial.until(lambda: False, 3)
    trial.notes.append(f"ran {before - trial.place.left(80)} jobs while Redis was full")
    trial.place.redis.config_set("maxmemory", 0)
    trial.hit(0.2)


def poison(trial: Trial) -> None:
    """Push a job that kills its process among good ones."""
    place = trial.place
    trial.push("slow", 5)
    trial.tell("timed", "poison", 19, 1, "push")
    trial.push("slow", 14)
    trial.start()
    trial.hit(0.2)

    def starts() -> int:
        return place.begun.runs(20)[19]

    def given_up() -> int:
        return place.size(place.contestant.failed)

    def over() -> bool:
        end = given_up() or starts() >= LOOP or trial.nothing_can_come()
        return not place.left(19) and bool(end)

    trial.until(over, trial.patience)
    end = "is tried for ever" if starts() >= LOOP else trial.whereabouts()
    trial.notes.append(f"the poison began {starts()} times and {end}")
    if not given_up():
        trial.jobs = 20  # it is lost or stuck
    trial.patience = 2 * QUIET


def garbage(trial: Trial) -> None:
    """Put bytes that are no job at both ends of the queue."""
    trial.push("slow", 20)
    redis, key = trial.place.redis, trial.place.contestant.waiting
    if redis.type(key) == b"stream":
        redis.xadd(key, {GARBAGE: GARBAGE})
    else:
        redis.lpush(key, GARBAGE)
        redis.rpush(key, GARBAGE)
    trial.push("slow", 20)
    trial.start()
    trial.hit(0.2)
    trial.until_ended(1)
    trial.notes.append(f"the garbage {trial.whereabouts()}")


def commit(trial: Trial) -> None:
    """Die between a commit and the push that was to follow it; roll back after a plain push."""
    trial.place.start(trial.place.contestant.safe)
    for number in range(5):
        with trial.place.pusher() as tell:
            tell("crash", number)
    for number in range(5, 10):
        trial.tell("refuse", number)
    trial.jobs = 5
    trial.hit(0.2)
    trial.until(lambda: not trial.place.left(10), 10)
    ghosts = sum(trial.place.ended.runs(10)[5:])
    trial.notes.append(f"{ghosts} of 5 jobs ran whose transaction was rolled back")


FAULTS: dict[str, Callable[[Trial], None]] = {
    "kill -9, whole": kill_all,
    "kill -9, child": kill_child,
    "SIGTERM": terminate,
    "connections closed": close_connections,
    "Redis full": fill_redis,
    "poison": poison,
    "garbage": garbage,
    "around the commit": commit,
}


def suffer(contestant: Contestant, fault: str, python: Path, patience: float) -> dict[str, Any]:
    """Let a contestant suffer one fault; return its outcome."""
    with stand(contestant, python, safe=True) as place, place.pusher() as tell:
        trial = Trial(place, tell, patience)
        try:
            FAULTS[fault](trial)
            outcome = trial.outcome()
        except RedisError as error:
            raise RuntimeError(f"{contestant.title}, {fault}: {error}") from error
        return asdict(outcome)
