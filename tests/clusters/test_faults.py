"""Masters die, slots move: what Redis kept runs, once and not early, by the same workers."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from django_jobs.claims import beat_call
from django_jobs.exceptions import PushError
from django_jobs.invariants import check
from django_jobs.lines import Lines
from django_jobs.monitor.counts import oldest_waits
from django_jobs.routes import slot_of
from tests.clusters.conftest import Work, account_of
from tests.clusters.topology import Cluster, Sentinels
from tests.conftest import wait_until
from tests.faults.site import Server
from tests.processes import Tree, ran

DEATHS = [
    (1, signal.SIGKILL),
    pytest.param(10, signal.SIGKILL, marks=pytest.mark.soak),
    pytest.param(3, signal.SIGSTOP, marks=pytest.mark.soak),
]
QUEUES = ("a", "b", "c", "default")  # on all three masters of a cluster


def workers_of(trees: list[Tree]) -> list[list[int]]:
    """Return the process ids of the workers, when they are there."""
    wait_until(lambda: all(tree.children() for tree in trees))
    return [tree.children() for tree in trees]


def come_back(server: Server, how: int) -> None:
    """Let a master come back that was replaced meanwhile."""
    if how == signal.SIGSTOP:
        server.signal(signal.SIGCONT)
    else:
        server.start()


@pytest.mark.parametrize(("rounds", "how"), DEATHS)
def test_sentinels_name_another_master(
    sentinels: Sentinels, work: Work, ledger: Path, rounds: int, how: int
) -> None:
    account = account_of(sentinels.url, ledger, "a", "b")
    trees = [work(sentinels.url, "--queues", "a,b", "--concurrency", "4") for _ in range(2)]
    workers = workers_of(trees)
    for _ in range(rounds):
        account.push(seconds=2)
        dead, cut = sentinels.master(), time.monotonic()
        dead.signal(how)
        account.push(until=lambda dead=dead: sentinels.master() is not dead)
        account.push(seconds=2)
        print(account.close(cut=cut))
        come_back(dead, how)
        wait_until(sentinels.has_substitute, 30)
        account.begin_anew()
    assert workers_of(trees) == workers


@pytest.mark.parametrize(("rounds", "how"), DEATHS)
def test_a_master_of_a_cluster_dies(
    cluster: Cluster, work: Work, ledger: Path, rounds: int, how: int
) -> None:
    account = account_of(cluster.url, ledger, *QUEUES)
    trees = [work(cluster.url, "--queues", ",".join(QUEUES), "--concurrency", "4") for _ in "12"]
    workers, slot = workers_of(trees), slot_of("jobs:{a}")
    for _ in range(rounds):
        account.push(seconds=2)
        dead, cut = cluster.owner(slot), time.monotonic()
        dead.signal(how)
        account.push(until=lambda dead=dead: cluster.owner(slot) is not dead)
        account.push(seconds=2)
        print(account.close(cut=cut))
        come_back(dead, how)
        wait_until(cluster.is_whole, 30)
        account.begin_anew()
    assert workers_of(trees) == workers


@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.soak)])
def test_slots_move_under_load(cluster: Cluster, work: Work, ledger: Path, rounds: int) -> None:
    account = account_of(cluster.url, ledger, *QUEUES)
    trees = [work(cluster.url, "--queues", ",".join(QUEUES), "--concurrency", "4") for _ in "12"]
    workers = workers_of(trees)
    for i in range(rounds):
        account.push(seconds=1)
        slot = slot_of(f"jobs:{{{QUEUES[i % 4]}}}")
        cluster.move(slot, cluster.others(cluster.owner(slot))[0])
    account.push(seconds=1)
    print(account.close())
    assert workers_of(trees) == workers


def test_a_queue_moves_while_it_drains(cluster: Cluster, work: Work, ledger: Path) -> None:
    account, slot = account_of(cluster.url, ledger, "a", "b"), slot_of("jobs:{a}")
    account.push(seconds=2)
    tree = work(cluster.url, "--queues", "a,b", "--concurrency", "2", "--drain")
    wait_until(lambda: len(ran(ledger)) > 20)
    target = cluster.others(cluster.owner(slot))[0]
    before = account.ran_of("b")
    cluster.move(slot, target, pause=0.2)
    assert cluster.owner(slot) is target
    assert account.ran_of("b") > before + 20  # it is elsewhere
    print(account.close())
    assert tree.wait(20) == 0


def test_what_is_on_its_way_is_not_taken_for_absent(cluster: Cluster, ledger: Path) -> None:
    queue, slot = account_of(cluster.url, ledger, "a").queues["a"], slot_of("jobs:{a}")
    queue.push()
    with cluster.on_its_way(slot, cluster.others(cluster.owner(slot))[0]):
        with pytest.raises(RedisError, match="another server"):
            oldest_waits([queue])
        with pytest.raises(PushError, match="another server"):
            queue.push()
    assert oldest_waits([queue])["a"] > 0
    queue.push()
    assert queue.stats().active == 2
    assert check(queue) == []


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that goes on when one of its masters is gone for good."""
    cluster = Cluster(tmp_path / "cluster", replicas=False)
    for server in cluster.servers:
        server.client.config_set("cluster-require-full-coverage", "no")
    yield cluster
    cluster.end()


def test_many_queues_do_not_wait_in_turn_for_one_node(alone: Cluster, ledger: Path) -> None:
    node = alone.servers[0]
    names = [f"q{n}" for n in range(60) if alone.owner(slot_of(f"jobs:{{q{n}}}")) is node][:10]
    queues = list(account_of(alone.url, ledger, *names, "a").queues.values())
    lines, beat = Lines(queues, socket_timeout=0.8), beat_call(queues, 5, ["w"])
    assert lines.run([beat]) == [[]]
    node.signal(signal.SIGSTOP)
    for _ in range(3):  # first the lines are open, then they are not
        began = time.monotonic()
        lines.run([beat])
        assert time.monotonic() - began < 5  # in turn it would be 8
        silent = set(lines.troubles())
    assert silent == {queue.client for queue in queues[:-1]}
    node.signal(signal.SIGCONT)
    wait_until(lambda: lines.run([beat]) == [[]], 20)
    lines.close()
