"""Mixed jobs under a steady load, and one fault after the other, as a seed picks them.

`SEED=... tox -e soak` repeats the faults of a run (the load differs); `SOAK` is its seconds.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.exceptions import RedisError

from django_jobs.exceptions import PushError
from django_jobs.invariants import check
from tests.conftest import free_port, wait_until
from tests.faults.invariants import broken
from tests.faults.proxy import Proxy
from tests.faults.site import LEASE, Server, Site, freeze, stop, thaw
from tests.processes import Tree, lines, ran

SEED = os.environ.get("SEED") or str(Random().randrange(10**6))
SOAK = float(os.environ.get("SOAK", "600"))

PROCESSES = 2
WORDS = ("--processes", str(PROCESSES), "--concurrency", "4", "--shutdown-timeout", "2")
SHORTEST = 0.02  # seconds that a job takes at least
GROWTH = 5  # MB that a process may take more than when it was warm

# What may be left of a queue without jobs; some of it names workers.
OF_WORKERS = {"workers", "claims", "suspects", "about", "orders"}
KEYS = {"queue", "meta", "counts", "total", "wake", *OF_WORKERS}
VERBS = ["cancel", "fail", "retry", "discard", "resume"] * 3 + ["pause"]
COMMANDS = ["BLPOP", "SCRIPT", "SMEMBERS", "beat", "claim", "held", "progress", "release", "report"]
COMMANDS += ["count", "settle_failed", "settle_retry", "settle_succeeded", "sweep"]
SPOILS = ["drop", "truncate", "delay"]


class Drill:
    """A site under load with two trees of workers: one lives on, the other is replaced."""

    def __init__(self, site: Site, proxy: Proxy, seed: str) -> None:
        self.site, self.proxy = site, proxy
        self.dice = self.mix = Random(seed)
        self.lasting = site.work(*WORDS)
        self.doomed = site.work(*WORDS, url=proxy.url)
        self.wait_for_workers()
        self.workers = self.lasting.children()
        self.footprints: list[list[tuple[float, int]]] = []
        self.begin_anew()

    def begin_anew(self) -> None:
        self.site.begin_anew()
        self.cut_short: set[str] = set()  # jobs that may run twice
        self.unsure: set[int] = set()  # processes whose jobs may run twice
        self.asked: set[str] = set()  # jobs that somebody wanted to remove
        self.removed: set[str] = set()

    def wait_for_workers(self) -> None:
        for tree in (self.lasting, self.doomed):
            wait_until(lambda tree=tree: len(tree.children()) == PROCESSES)  # type: ignore[misc]

    def load(self, seconds: float) -> None:
        """Push a job every 20 ms or so, and be an operator; Redis may be away."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(PushError):
                self.push()
            with suppress(RedisError):
                self.operate()
                assert broken(self.site.queue) == []
            time.sleep(0.02)

    def push(self) -> None:
        nap = {"seconds": self.mix.uniform(SHORTEST, 0.2)}
        job: tuple[str, Any, dict[str, Any]] = self.mix.choice(
            [
                *[("test.nap", nap, {})] * 10,
                *[("fault.flaky", {**nap, "failures": self.mix.randint(0, 2)}, {})] * 4,
                ("test.nap_async", nap, {}),
                ("test.nap", nap, {"delay": self.mix.uniform(0, 1)}),
                ("test.nap", nap, {"priority": self.mix.randint(-2, 2)}),
                ("test.nap", {"seconds": 1.5 * LEASE}, {}),
                ("fault.broken", None, {"max_attempts": 2}),
                ("test.hopeless", None, {}),
            ]
        )
        handler, payload, options = job
        began = time.monotonic()
        self.site.push(handler, payload, **options)
        if time.monotonic() - began > SHORTEST:
            self.site.ids.pop()  # its answer may have been lost, and it was pushed again

    def operate(self) -> None:
        """Do something to one of the newest jobs, or to the queue."""
        verb, queue = self.mix.choice([*VERBS, *[""] * len(VERBS)]), self.site.queue
        if verb in ("pause", "resume"):
            getattr(queue, verb)()
        elif verb and self.site.ids:
            id = self.mix.choice(self.site.ids[-50:])
            removes = verb in ("cancel", "discard")
            if removes:
                self.asked.add(id)  # whether or not the answer arrives
            words = ["enough"] if verb == "fail" else []
            if getattr(queue, verb)(id, *words) and removes:
                self.removed.add(id)

    def cut(self, pids: Iterable[int]) -> None:
        """Freeze processes for good: what they were at may run twice."""
        freeze(pids)
        held = self.site.owners()
        self.cut_short |= {e.id for e in lines(self.site.ledger) if e.pid in pids and e.id in held}

    def settle(self) -> None:
        """Wait until all is quiet: each job has ended once, and nothing is left of it."""
        site, ledger = self.site, self.site.ledger
        self.proxy.mend()
        site.queue.resume()
        again = self.cut_short | {e.id for e in lines(ledger) if e.pid in self.unsure}
        site.account(again=again, gone=self.asked, seconds=30)
        assert not (self.removed - again) & set(ran(ledger)), "removed, and ran"
        assert check(site.queue) == []
        for id in site.failed():
            site.queue.discard(id)
        wait_until(lambda: self.keys() <= KEYS)
        assert set.union(*map(self.members, OF_WORKERS)) == self.members("workers")
        self.wait_for_workers()
        assert self.lasting.children() == self.workers
        self.footprints.append([footprint(pid) for pid in (self.lasting.pid, *self.workers)])
        self.begin_anew()

    def end(self) -> None:
        """Let a day go by and the workers stop: Redis keeps nothing of them."""
        wait_until(self.only_the_living_are_known)
        stop(self.lasting)
        stop(self.doomed)
        assert self.keys() <= KEYS - OF_WORKERS
        assert self.site.server.client.hkeys("jobs:default:counts") in ([], [b"cancelled"])

    def only_the_living_are_known(self) -> bool:
        redis, workers = self.site.server.client, "jobs:default:workers"
        for worker in self.members("workers") - self.site.registered():
            redis.zadd(workers, {worker: -1}, xx=True)
        living = self.members("workers")
        return (
            len(living) == 2 * PROCESSES
            and self.members("claims") == living
            and self.members("about") <= living
            and not self.members("suspects") | self.members("orders")
        )

    def keys(self) -> set[str]:
        """Return the names of all keys but those that expire."""
        redis: Any = self.site.server.client
        lasting = [key for key in redis.keys("*") if redis.ttl(key) == -1]
        return {key.decode().removeprefix("jobs:default:") for key in lasting}

    def members(self, name: str) -> set[str]:
        redis: Any = self.site.server.client
        read = redis.hkeys if name != "workers" else lambda key: redis.zrange(key, 0, -1)
        return {member.decode() for member in read(f"jobs:default:{name}")}


def footprint(pid: int) -> tuple[float, int]:
    """Return what a process takes: MB of memory, and file descriptors."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))


# The faults.


def kill_a_worker(drill: Drill) -> None:
    worker = drill.dice.choice(drill.doomed.children())
    drill.cut([worker])
    os.kill(worker, signal.SIGKILL)
    drill.load(0.5)


def kill_a_supervisor(drill: Drill) -> None:
    drill.cut([drill.doomed.pid, *drill.doomed.children()])
    drill.doomed.kill()
    drill.load(drill.dice.uniform(0, 2))
    drill.doomed = drill.site.work(*WORDS, url=drill.proxy.url)


def kill_a_tree(drill: Drill) -> None:
    drill.cut([drill.doomed.pid, *drill.doomed.children()])
    drill.doomed.kill_all()
    drill.doomed = drill.site.work(*WORDS, url=drill.proxy.url)
    drill.load(1)


def freeze_a_worker(drill: Drill) -> None:
    freeze_for_a_while(drill, [drill.dice.choice(some_tree(drill).children())])


def freeze_a_supervisor(drill: Drill) -> None:
    tree = some_tree(drill)
    drill.unsure.update(tree.children())
    freeze_for_a_while(drill, [tree.pid])


def freeze_a_tree(drill: Drill) -> None:
    tree = some_tree(drill)
    drill.unsure.update(tree.children())
    freeze_for_a_while(drill, [tree.pid, *tree.children()])


def cut_off_a_tree(drill: Drill) -> None:
    drill.unsure.update(drill.doomed.children())
    port, drill.proxy.port = drill.proxy.port, free_port()
    drill.proxy.hang_up()
    drill.load(drill.dice.uniform(0.3, 3))
    drill.proxy.port = port


def freeze_redis(drill: Drill) -> None:
    drill.site.server.signal(signal.SIGSTOP)
    drill.load(drill.dice.uniform(0.3, 3))
    drill.site.server.signal(signal.SIGCONT)


def kill_redis(drill: Drill) -> None:
    drill.site.server.signal(signal.SIGKILL)
    drill.load(drill.dice.uniform(0, 2))
    drill.site.server.start()


def fill_redis(drill: Drill) -> None:
    drill.site.server.client.config_set("maxmemory", 1)
    drill.load(1)
    drill.site.server.client.config_set("maxmemory", 0)


def flush_scripts(drill: Drill) -> None:
    for _ in range(5):
        drill.site.server.client.script_flush()
        drill.load(drill.dice.uniform(0, 0.3))


def close_connections(drill: Drill) -> None:
    for _ in range(5):
        drill.site.server.client.client_kill_filter(_type="normal", skipme=True)
        drill.load(drill.dice.uniform(0, 0.3))


def spoil_commands(drill: Drill) -> None:
    for command in drill.dice.sample(COMMANDS, 4):
        what = drill.dice.choice(["request", "reply"])
        drill.proxy.spoil(command, f"{drill.dice.choice(SPOILS)} {what}")
    drill.load(2)


FAULTS = [kill_a_worker, kill_a_supervisor, kill_a_tree, freeze_a_worker, freeze_a_supervisor]
FAULTS += [freeze_a_tree, cut_off_a_tree, freeze_redis, kill_redis, fill_redis, flush_scripts]
FAULTS += [close_connections, spoil_commands]


def some_tree(drill: Drill) -> Tree:
    return drill.dice.choice([drill.lasting, drill.doomed])


def freeze_for_a_while(drill: Drill, pids: list[int]) -> None:
    freeze(pids)
    drill.load(drill.dice.uniform(0.3, 3))
    thaw(pids)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis that answers when it has written down what it was told."""
    server = Server(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.end()


@pytest.mark.parametrize(
    ("seed", "seconds"), [("1", 15), pytest.param(SEED, SOAK, marks=pytest.mark.soak)]
)
def test_one_fault_after_the_other_costs_no_job_and_leaves_nothing(
    site: Site, proxy: Proxy, capsys: pytest.CaptureFixture[str], seed: str, seconds: float
) -> None:
    with capsys.disabled():
        print(f"\nSEED={seed}")
    drill, until = Drill(site, proxy, seed), time.monotonic() + seconds
    for fault, dice in schedule(seed):
        print(f"{time.monotonic():.3f} {fault.__name__}", flush=True)
        drill.dice = dice
        drill.load(0.3)
        fault(drill)
        drill.load(0.3)
        drill.settle()
        if time.monotonic() > until:
            break
    drill.end()
    for warm, last in zip(
        drill.footprints[len(drill.footprints) // 4], drill.footprints[-1], strict=True
    ):
        assert last[0] <= warm[0] + GROWTH
        assert last[1] <= warm[1] + 4


def schedule(seed: str) -> Iterator[tuple[Any, Random]]:
    """Yield all faults in some order, again and again, each with dice of its own."""
    dice = Random(seed)
    while True:
        for fault in dice.sample(FAULTS, len(FAULTS)):
            yield fault, Random(dice.random())
