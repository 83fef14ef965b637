"""Schedules in real workers: each occurrence is pushed once, whoever dies, whoever is late."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from django_jobs.invariants import check
from django_jobs.monitor.workers import all_workers
from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.faults.site import Site, stop
from tests.faults.test_processes import SKEW
from tests.processes import Tree, ran

SEED = os.environ.get("SEED") or str(Random().randrange(10**6))


def tick(name: str = "tick", **options: Any) -> dict[str, Any]:
    return {name: {"handler": "fault.tick", "every": 1, **options}}


def work(site: Site, *words: str, schedules: dict[str, Any] | None = None, **more: Any) -> Tree:
    """Start a tree whose settings have these schedules."""
    text = json.dumps(tick() if schedules is None else schedules)
    return site.work(*words, SCHEDULES=text, **more)


def occurrences(site: Site, name: str = "tick") -> list[int]:
    """Return in seconds, in order, for which occurrence each job was pushed that there ever was."""
    client: Any = site.server.client
    found = []
    for key in client.scan_iter("jobs:default:job:*", count=1000):
        job = dict(client.hgetall(key))
        if job.get(b"schedule") == name.encode():
            found.append(int(job[b"occurrence"]) // 1000)
    return sorted(found)


def is_complete(seconds: list[int]) -> bool:
    return seconds == list(range(seconds[0], seconds[-1] + 1))


def supervisors(site: Site) -> set[int]:
    return {row.supervisor for row in all_workers([site.queue]) if row.silent <= 0}


def now(site: Site) -> float:
    seconds, microseconds = site.server.client.time()  # type: ignore[misc]
    return float(seconds + microseconds / 1e6)


@pytest.mark.parametrize("seconds", [12, pytest.param(60, marks=pytest.mark.soak)])
def test_each_occurrence_is_pushed_once_while_workers_are_killed(site: Site, seconds: int) -> None:
    print(f"SEED={SEED}")
    dice, trees = Random(SEED), [work(site) for _ in range(3)]
    wait_until(lambda: len(occurrences(site)) > 1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = len(occurrences(site))
        for place in dice.sample(range(3), dice.randint(1, 2)):
            if dice.random() < 0.5:
                for child in trees[place].children():  # none, if it was killed a moment ago
                    os.kill(child, signal.SIGKILL)
            else:
                trees[place].kill_all()
                trees[place] = work(site)
        wait_until(lambda: {tree.pid for tree in trees} <= supervisors(site))
        wait_until(lambda seen=seen: len(occurrences(site)) > seen)  # type: ignore[misc]
    wait_until(lambda: now(site) - occurrences(site)[-1] < 1.5)
    found = occurrences(site)
    assert is_complete(found), Counter(found)
    wait_until(lambda: len(ran(site.ledger)) >= len(found))
    assert check(site.queue) == []


def test_a_worker_that_dies_between_claim_and_fire_costs_nothing(site: Site, proxy: Proxy) -> None:
    tree = work(site, url=proxy.url)
    wait_until(lambda: len(occurrences(site)) > 1)
    late = proxy.spoil("fire", "hold request")
    wait_until(late.struck.is_set)
    tree.kill_all()
    work(site)
    seen = len(occurrences(site))
    wait_until(lambda: len(occurrences(site)) > seen + 1)
    late.go.set()  # now Redis hears the dead worker
    seen = len(occurrences(site))
    wait_until(lambda: len(occurrences(site)) > seen + 1)
    assert is_complete(occurrences(site))


@pytest.mark.parametrize("fault", ["drop reply", "drop request", "delay reply"])
def test_a_spoiled_fire_pushes_once(site: Site, proxy: Proxy, fault: str) -> None:
    tree = work(site, url=proxy.url)
    wait_until(lambda: len(occurrences(site)) > 1)
    plan, children = proxy.spoil("fire", fault), tree.children()
    wait_until(plan.struck.is_set)
    seen = len(occurrences(site))
    wait_until(lambda: len(occurrences(site)) > seen + 1, 20)
    assert is_complete(occurrences(site))
    assert tree.children() == children


def test_the_definition_of_the_newer_code_counts_whoever_works(site: Site) -> None:
    work(site, schedules={**tick(), **tick("dropped")})
    wait_until(lambda: occurrences(site) and occurrences(site, "dropped"))
    newer = work(site, schedules={**tick(every=2, payload="new"), **tick("added")})
    wait_until(lambda: site.queue.schedule("added"))
    assert site.queue.schedule("dropped") is None
    wait_until(lambda: newer.pid in supervisors(site))
    stop(newer)  # the older code goes on, by what the newer one has said
    started = now(site)
    wait_until(lambda: occurrences(site)[-1] > started + 4)
    later = [at for at in occurrences(site) if at > started]
    assert all(at % 2 == 0 for at in later)
    assert site.queue.schedule("dropped") is None
    assert occurrences(site, "added")[-1] > started


def test_a_definition_that_did_not_arrive_is_sent_again(site: Site, proxy: Proxy) -> None:
    plan = proxy.spoil("define", "drop request")
    work(site, url=proxy.url)
    wait_until(plan.struck.is_set)
    wait_until(lambda: len(occurrences(site)) > 1)


@pytest.mark.soak
def test_after_redis_lost_its_data_the_schedules_come_back(site: Site) -> None:
    work(site)
    wait_until(lambda: len(occurrences(site)) > 1)
    site.server.client.flushall()
    wait_until(lambda: len(occurrences(site)) > 1, 70)


def test_a_worker_whose_clock_is_an_hour_off_keeps_to_redis_clock(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SKEW.format(3600))
    work(site, PYTHONPATH=str(tmp_path))
    wait_until(lambda: len(occurrences(site)) > 2)
    assert is_complete(occurrences(site))
    assert -3 < occurrences(site)[-1] - now(site) <= 0


def test_a_schedule_that_a_worker_cannot_read_stops_neither_worker_nor_others(site: Site) -> None:
    tree = work(site, schedules={**tick(), **tick("broken")})
    wait_until(lambda: occurrences(site, "broken"))
    site.server.client.hset(
        "jobs:default:schedule:broken", mapping={"every": "", "cron": "?", "timezone": "UTC"}
    )
    wait_until(lambda: "broken" in tree.output, 15)
    seen, turns = len(occurrences(site)), tree.output.count("is left to others")
    wait_until(lambda: len(occurrences(site)) > seen + 2, 20)
    assert tree.output.count("is left to others") - turns < 30, "it asks without a pause"
    assert is_complete(occurrences(site))


def test_a_busy_worker_pushes_what_is_due(site: Site) -> None:
    tree = work(site, "--concurrency", "1")
    wait_until(lambda: len(occurrences(site)) > 1)
    site.wait_began(site.nap(4))
    seen = len(occurrences(site))
    wait_until(lambda: len(occurrences(site)) > seen + 2, 3.9)
    stop(tree)


def test_a_drain_pushes_what_is_due_and_leaves_what_is_not(site: Site) -> None:
    tree = work(site, schedules=tick(every=3600))
    wait_until(lambda: (found := site.queue.schedule("tick")) is not None and found.late < 0)
    stop(tree)
    client: Any = site.server.client
    client.zadd("jobs:default:schedules", {"tick": 1})
    client.hset("jobs:default:meta", "schedules_at", 1)
    assert work(site, "--drain", schedules=tick(every=3600)).wait(20) == 0
    assert len(occurrences(site)) == len(ran(site.ledger)) == 1


def test_runjobs_refuses_a_bad_schedule_and_names_it(site: Site) -> None:
    tree = work(site, schedules=tick(every=0))
    assert tree.wait(20) == 1
    assert "Schedule 'tick': every is 0" in tree.output
