"""Masters die, slots move: what Redis kept runs, once and not early, by the same workers."""

import signal
import time
from pathlib import Path

import pytest

from django_jobs.routes import slot_of
from tests.clusters.conftest import Work, account_of
from tests.clusters.topology import Cluster, Sentinels
from tests.conftest import wait_until
from tests.processes import Tree, ran

ROUNDS = [1, pytest.param(10, marks=pytest.mark.soak)]
QUEUES = ("a", "b", "c", "default")  # on all three masters of a cluster


def workers_of(trees: list[Tree]) -> list[list[int]]:
    """Return the process ids of the workers, when they are there."""
    wait_until(lambda: all(tree.children() for tree in trees))
    return [tree.children() for tree in trees]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_sentinels_name_another_master(
    sentinels: Sentinels, work: Work, ledger: Path, rounds: int
) -> None:
    account = account_of(sentinels.url, ledger, "a", "b")
    trees = [work(sentinels.url, "--queues", "a,b", "--concurrency", "4") for _ in range(2)]
    workers = workers_of(trees)
    for _ in range(rounds):
        account.push(seconds=2)
        dead, cut = sentinels.master(), time.monotonic()
        dead.signal(signal.SIGKILL)
        account.push(until=lambda dead=dead: sentinels.master() is not dead)
        account.push(seconds=2)
        print(account.close(cut=cut))
        dead.start()
        wait_until(sentinels.has_substitute, 30)
        account.begin_anew()
    assert workers_of(trees) == workers


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_master_of_a_cluster_dies(
    cluster: Cluster, work: Work, ledger: Path, rounds: int
) -> None:
    account = account_of(cluster.url, ledger, *QUEUES)
    trees = [work(cluster.url, "--queues", ",".join(QUEUES), "--concurrency", "4") for _ in "12"]
    workers, slot = workers_of(trees), slot_of("jobs:{a}")
    for _ in range(rounds):
        account.push(seconds=2)
        dead, cut = cluster.owner(slot), time.monotonic()
        dead.signal(signal.SIGKILL)
        account.push(until=lambda dead=dead: cluster.owner(slot) is not dead)
        account.push(seconds=2)
        print(account.close(cut=cut))
        dead.start()
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
