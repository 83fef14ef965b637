"""Redis that goes, comes back, forgets or is full: what it kept is run, by the same workers."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_jobs.connection import get_client
from django_jobs.exceptions import PushError
from django_jobs.queue import Queue
from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.faults.site import Server, Site

LONG = float(os.environ.get("LONG", "60"))  # seconds Redis is away in the soak


@pytest.mark.parametrize("fsync", ["everysec", pytest.param("always", marks=pytest.mark.soak)])
def test_a_restarted_and_a_killed_redis_cost_no_job_and_no_worker(site: Site, fsync: str) -> None:
    site.server.client.config_set("appendfsync", fsync)
    tree = site.ready(processes=2)
    workers, running = tree.children(), site.nap(4)
    site.wait_began(running)
    for number in (signal.SIGTERM, signal.SIGKILL):
        site.load(0.5)
        site.server.signal(number)
        site.load(1)
        site.server.start()
        site.load(0.5)
    site.account()
    assert tree.children() == workers


@pytest.mark.parametrize(
    ("how", "seconds"),
    [("frozen", 5), pytest.param("away", LONG, marks=pytest.mark.soak)],
)
def test_workers_outlive_redis_and_keep_their_jobs(site: Site, how: str, seconds: float) -> None:
    trees = [site.ready(), site.ready()]
    workers, running = [tree.children() for tree in trees], site.nap(seconds + 1, 4)
    site.wait_began(running)
    site.load(0.5)
    site.server.signal(signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
    site.load(seconds)
    if how == "frozen":
        site.server.signal(signal.SIGCONT)
    else:
        site.server.start()
    site.load(0.5)
    site.account()
    assert [tree.children() for tree in trees] == workers


@pytest.mark.parametrize("rounds", [7, pytest.param(200, marks=pytest.mark.soak)])
def test_connections_closed_every_300_ms_cost_nothing(site: Site, rounds: int) -> None:
    tree = site.ready(processes=2)
    workers = tree.children()
    for _ in range(rounds):
        site.load(0.3)
        site.server.client.client_kill_filter(_type="normal", skipme=True)
    site.account()
    assert tree.children() == workers


def test_flushed_scripts_cost_nothing_and_flushed_data_no_worker(site: Site) -> None:
    tree = site.ready(processes=2)
    workers = tree.children()
    for _ in range(20):
        site.nap(0.02, 5)
        site.server.client.script_flush()
    site.account()
    site.nap(0.3, 50)
    site.server.client.flushall()
    site.ids.clear()
    site.load(0.5)
    site.account()
    assert tree.children() == workers


def test_at_maxmemory_workers_drain_and_push_says_no(site: Site) -> None:
    redis, tree = site.server.client, site.ready("--concurrency", "2")
    site.nap(0.05, 40)
    broken = site.push("test.broken", times=2)
    redis.config_set("maxmemory", 1)
    began = time.monotonic()
    with pytest.raises(PushError):
        site.push("test.quick")
    assert time.monotonic() - began < 2
    site.account()
    assert set(site.failed()) == set(broken)
    assert site.queue.job(broken[0]).attempts == 5
    redis.config_set("maxmemory", 0)
    site.wait_ran(site.push("test.quick"))
    assert tree.poll() is None


@pytest.fixture
def replica(server: Server, tmp_path: Path) -> Iterator[Server]:
    """A copy of the server, up to date."""
    replica = Server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(server.port))
    wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
    yield replica
    replica.end()


def held_by_replica(replica: Server, ids: list[str]) -> bool:
    """Say whether the copy is so far that these jobs are being worked on."""
    return None not in replica.client.hmget("jobs:default:processing", ids)


def test_a_promoted_replica_that_missed_writes_runs_all_it_has(
    site: Site, proxy: Proxy, replica: Server
) -> None:
    tree = site.ready(processes=2, url=proxy.url)
    workers = tree.children()
    site.queue = Queue("default", get_client(proxy.url))
    site.nap(0.05, 200)
    running = site.nap(3, 2, priority=1)
    site.wait_began(running)
    wait_until(lambda: held_by_replica(replica, running))
    replica.client.replicaof("NO", "ONE")  # from here on it misses everything
    kept = [id for id in site.ids if replica.client.exists(f"jobs:default:job:{id}")]
    site.load(1)
    replaced = site.server
    proxy.port, site.server, site.ids = replica.port, replica, kept
    replaced.signal(signal.SIGKILL)
    proxy.hang_up()
    site.load(1)
    site.account(again=kept, rising=False)
    assert tree.children() == workers
