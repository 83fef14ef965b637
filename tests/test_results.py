"""Results: kept with the job for a time, and waited for without polling."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from django_jobs import JobGone, await_for, get_queue, push_job, result_of, wait_for
from django_jobs.exceptions import OptionError
from django_jobs.handlers import handler
from django_jobs.invariants import check
from django_jobs.line import run
from tests.conftest import Runjobs, wait_until
from tests.processes import events
from tests.test_transitions import WHY, claim, register

SUM = {"sum": 6, "all": [1.5, None, "é"]}


def test_a_result_is_waited_for_and_kept(runjobs: Runjobs, ledger: Path) -> None:
    runjobs()
    first, later = push_job("test.add", [1, 2, 3]), push_job("test.add_async", [4, 5])
    record = wait_for(first, 20)
    assert (record.state, result_of(record)) == ("succeeded", SUM)
    assert record.finished_at is not None
    assert record.finished_at >= record.enqueued_at  # type: ignore[operator]
    assert result_of(asyncio.run(await_for(later, 20))) == 9
    assert get_queue().stats().succeeded == 2
    assert check(get_queue()) == []


def test_what_is_no_json_fails_at_once(runjobs: Runjobs, ledger: Path) -> None:
    runjobs()
    record = wait_for(push_job("test.unspeakable"), 20)
    assert (record.state, record.attempts) == ("failed", 1)
    assert "The result for handler 'test.unspeakable'" in record.errors[-1].message
    assert len(events(ledger)) == 1
    with pytest.raises(JobGone, match="is failed"):
        result_of(record)


@pytest.mark.parametrize("end", ["kept", "failed", "succeeded", "cancel", "discard"])
def test_who_waits_is_told_at_once(client: Redis, end: str) -> None:
    queue = get_queue()
    id = queue.push({}, "test.quick")
    found: list[Any] = []

    def wait() -> None:
        try:
            found.append(wait_for(id, 60).state)
        except JobGone as gone:
            found.append(str(gone))

    if end == "discard":
        queue.fail(id, "no")
        assert wait_for(id).state == "failed"
        queue.discard(id)
        with pytest.raises(JobGone):
            wait_for(id)
        return
    thread, channel = threading.Thread(target=wait), f"{queue.root}:ended:{id}"
    thread.start()
    redis: Any = queue.client
    wait_until(lambda: redis.pubsub_numsub(channel)[0][1] == 1)
    wait_until(lambda: redis.exists(f"{queue.root}:waited"))
    began = time.monotonic()
    if end == "cancel":
        queue.cancel(id)
    else:
        register(queue, "w1")
        claim(queue)
        calls = {
            "kept": queue.settle_kept("w1", [(id, 1, 60.0, "7")]),
            "failed": queue.settle_failed("w1", [(id, 1, WHY)]),
            "succeeded": queue.settle_succeeded("w1", [(id, 1)]),
        }
        assert run(queue.client, calls[end]) == [1]
    thread.join(10)
    assert time.monotonic() - began < 4  # it looks again after 5 s, told or not
    said = {"kept": "succeeded", "failed": "failed"}.get(end, "is not there")
    assert said in found[0]


def test_who_waits_too_long_is_told_so() -> None:
    id = push_job("test.quick")
    for wait in (lambda: wait_for(id, 0.1), lambda: asyncio.run(await_for(id, 0.1))):
        with pytest.raises(TimeoutError, match=f"{id} of queue 'default' has not ended"):
            wait()
    with pytest.raises(JobGone, match=r"'email'.*never was in this queue"):
        wait_for(id, 1, queue="email")


def test_a_result_goes_when_its_time_is_over(client: Redis) -> None:
    queue = get_queue()
    id = queue.push({}, "test.quick", result_ttl=0.05)
    register(queue, "w1")
    (claimed,) = claim(queue)
    assert claimed.result_ttl == 0.05
    call = queue.settle_kept("w1", [(id, 1, 0.05, "null")])
    assert run(queue.client, call) == [1]
    assert run(queue.client, call) == [0]
    wait_until(lambda: queue.job(id) is None)
    assert queue.stats().succeeded == 0
    assert check(queue) == []


def test_push_wins_over_the_handler_and_0_keeps_nothing(runjobs: Runjobs, ledger: Path) -> None:
    id = push_job("test.add", [1], result_ttl=0)
    runjobs()
    wait_until(lambda: get_queue().job(id) is None)
    assert get_queue().stats().succeeded == 0


@pytest.mark.parametrize("ttl", [-1, "long", True, float("nan")])
def test_a_bad_time_is_refused(ttl: Any) -> None:
    with pytest.raises(OptionError, match=r"test\.quick.*result_ttl is"):
        push_job("test.quick", result_ttl=ttl)
    with pytest.raises(OptionError, match="Handler 'x': result_ttl is"):
        handler("x", result_ttl=ttl)


def test_waiting_holds_no_connection_afterwards(client: Redis) -> None:
    id, before = push_job("test.quick"), len(client.client_list())
    for _ in range(3):
        with pytest.raises(TimeoutError):
            wait_for(id, 0.01)
        with pytest.raises(TimeoutError):
            asyncio.run(await_for(id, 0.01))
    wait_until(lambda: len(client.client_list()) <= before + 2)
