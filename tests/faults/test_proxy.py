"""Each command of worker, supervisor and push, spoiled on its way to Redis or back."""

import os
import signal
import time
from functools import partial

import pytest

from django_jobs.connection import announce, get_client
from django_jobs.queue import Queue
from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.faults.site import BEAT, LEASE, Site, stays

FAULTS = ("drop request", "drop reply")
MORE_FAULTS = (
    "truncate request",
    "truncate reply",
    "delay request",
    "delay reply",
    "swallow reply",
)
EACH_FAULT = [*FAULTS, *(pytest.param(fault, marks=pytest.mark.soak) for fault in MORE_FAULTS)]
PUSHING = ("push", "SADD")
WORKING = ("BLPOP", "SCRIPT", "SMEMBERS", "beat", "claim", "settle_failed", "settle_retry")
WORKING += ("settle_succeeded", "sweep", "held", "release", "progress", "report", "count")
KILLING = ("close", "recover")
STARTING = ("CLIENT", "INFO", "CONFIG", "configure", "define")
READING = ("job",)  # by who hears that a job was taken back
HOPELESS = {"fault.broken", "test.hopeless", "test.gone", "test.kill"}


def push_some(site: Site, command: str, proxy: Proxy) -> set[str]:
    """Push jobs that make worker and supervisor send the command; return what may run twice."""
    ids = site.nap(0, 4)
    site.push("fault.broken", max_attempts=2)
    site.push("test.hopeless")
    if command == "held":
        proxy.spoil("claim", "drop reply")
    if command == "SCRIPT":
        proxy.hang_up()
    if command == "progress":
        site.push("fault.flaky", {"seconds": 0, "failures": 0}, max_attempts=1)
    if command == "release":
        site.push("test.gone")
    if command in KILLING:
        return set(ids + site.push("test.kill", max_attempts=1))
    return set()


@pytest.mark.parametrize(
    "faults", [FAULTS, pytest.param(MORE_FAULTS, marks=pytest.mark.soak)], ids=["cut", "all"]
)
@pytest.mark.parametrize("command", WORKING + KILLING)
def test_a_spoiled_command_of_a_worker_or_supervisor_costs_nothing(
    site: Site, proxy: Proxy, command: str, faults: tuple[str, ...]
) -> None:
    # What a dead worker held is not left to its lease, which is long here.
    tree = site.ready(url=proxy.url, LEASE="20" if command in KILLING else str(LEASE))
    workers, again = tree.children(), set()
    for fault in faults:
        plan = proxy.spoil(command, fault)
        again |= push_some(site, command, proxy)
        wait_until(plan.struck.is_set)
        site.account(again=again, seconds=10)
    assert {record.handler for record in site.failed().values()} <= HOPELESS
    assert set(proxy.seen) <= {*WORKING, *KILLING, *PUSHING, *STARTING, *READING}, (
        "a command that is not spoiled here"
    )
    assert tree.children() == workers or command in KILLING


def test_a_lost_answer_to_a_retry_and_the_claim_of_the_same_job_strands_nothing(
    site: Site, proxy: Proxy
) -> None:
    site.ready(url=proxy.url)
    for _ in range(5):
        plan = proxy.spoil("settle_retry", "drop reply")
        site.push("test.broken", max_attempts=3)
        site.account()
        assert plan.struck.is_set()


@pytest.mark.parametrize("fault", EACH_FAULT[1:])
def test_a_spoiled_recovery_of_a_dead_tree_is_made_good(
    site: Site, proxy: Proxy, fault: str
) -> None:
    dead = site.work()
    site.wait_began(site.nap(0.5, 8))
    dead.kill_all()
    held, plan = site.owners(), proxy.spoil("recover", fault)
    site.work(url=proxy.url)
    site.account(again=held)
    assert plan.struck.is_set()


@pytest.mark.parametrize("fault", EACH_FAULT)
@pytest.mark.parametrize("command", PUSHING)
def test_a_spoiled_push_is_done_once_or_raises_in_time(
    site: Site, proxy: Proxy, command: str, fault: str
) -> None:
    (first,) = site.push("test.quick")  # now Redis knows the script
    client = get_client(proxy.url)
    site.queue = Queue("default", client, announce=partial(announce, client, "jobs"))
    plan, began = proxy.spoil(command, fault), time.monotonic()
    (id,) = site.push("test.quick")
    assert time.monotonic() - began < 2
    assert plan.struck.is_set()
    active = site.server.client.lrange("jobs:default:active", 0, -1)
    assert active == [id.encode(), first.encode()]


@pytest.mark.parametrize(
    ("command", "fate"),
    [
        ("claim", "reconnects"),
        ("claim", "dies"),
        ("claim", "dies with its supervisor"),
        pytest.param("beat", "dies", marks=pytest.mark.soak),
        pytest.param("beat", "dies with its supervisor", marks=pytest.mark.soak),
    ],
)
def test_what_redis_does_later_holds_no_job(
    site: Site, proxy: Proxy, command: str, fate: str
) -> None:
    tree = site.ready("--concurrency", "4", url=proxy.url)
    (child,), (worker,) = tree.children(), site.registered()
    late = proxy.spoil(command, "hold request")
    site.nap(0.02, 100)
    wait_until(late.struck.is_set)
    if fate == "reconnects":
        wait_until(lambda: proxy.seen["held"])
    elif fate == "dies":
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: proxy.seen["close"])
    else:
        tree.kill_all()
        site.work()
    held = site.owners()
    late.go.set()
    if fate == "dies":
        stays(lambda: worker not in site.registered() | set(site.owners().values()), 2 * BEAT)
    site.account(again=held)
