"""One job of a key at a time: from push to its end, to its start, or for a time."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from django_jobs import push_job, push_jobs, wait_for
from django_jobs.exceptions import OptionError, UniqueHeld
from django_jobs.invariants import check
from django_jobs.job import Claimed
from django_jobs.line import run
from django_jobs.queue import Queue
from django_jobs.record import JobRecord
from django_jobs.signals import job_pushed
from tests.conftest import wait_until
from tests.test_transitions import WHY, claim, now, register


def record(queue: Queue, id: str) -> JobRecord:
    found = queue.job(id)
    assert found is not None
    return found


def push(queue: Queue, payload: Any = None, **options: Any) -> str:
    return queue.push(payload, "shop.sync", **{"unique": "shop:7", **options})


def take(queue: Queue, number: int = 1) -> Claimed:
    register(queue, "w1")
    (claimed,) = claim(queue, number=number)
    return claimed


def locks(client: Redis) -> list[bytes]:
    return client.keys("jobs:email:unique:*")


def test_a_second_push_leads_to_the_job_that_stands(queue: Queue, client: Redis) -> None:
    first = push(queue, {"n": 1})
    second = push(queue, {"n": 2})
    assert first != second
    assert (record(queue, second).id, record(queue, second).payload) == (first, b'{"n":1}')
    assert record(queue, first).unique == "shop:7"
    assert queue.stats().active == 1
    assert 86_000 < client.ttl(f"jobs:email:alias:{second}") <= 86_400
    other = push(queue, unique="shop:8")
    assert record(queue, other).id == other
    assert check(queue) == []


@pytest.mark.parametrize("end", ["succeeded", "kept", "failed", "discard", "cancel", "empty"])
def test_the_key_is_free_when_the_job_has_ended(queue: Queue, client: Redis, end: str) -> None:
    first = push(queue)
    if end in ("cancel", "empty"):
        assert queue.cancel(first) if end == "cancel" else queue.empty() == (1, 1)
    else:
        claimed = take(queue)
        assert record(queue, push(queue)).id == first  # also while it runs
        proof = (claimed.id, claimed.token)
        calls = {
            "succeeded": queue.settle_succeeded("w1", [proof]),
            "kept": queue.settle_kept("w1", [(*proof, 60.0, "1")]),
        }
        call = calls.get(end, queue.settle_failed("w1", [(*proof, WHY)]))
        assert run(client, call) == [1]
        if end == "discard":
            assert queue.discard(first)
    assert locks(client) == []
    second = push(queue)
    assert record(queue, second).id == second


def test_between_attempts_and_after_a_crash_the_key_is_held(queue: Queue, client: Redis) -> None:
    first = push(queue)
    claimed = take(queue)
    assert run(client, queue.settle_retry("w1", [(first, claimed.token, 60.0, WHY)])) == [1]
    assert record(queue, push(queue)).id == first
    client.zadd("jobs:email:scheduled", {first: 1})
    claimed = take(queue, 2)
    assert run(client, queue.recover([(first, claimed.token, "w1")], WHY)) == [b"active"]
    assert record(queue, push(queue)).id == first


def test_until_start_the_key_is_free_when_the_job_begins(queue: Queue, client: Redis) -> None:
    first = push(queue, unique_until="start")
    assert record(queue, push(queue, unique_until="start")).id == first
    claimed = take(queue)
    assert locks(client) == []
    second = push(queue, unique_until="start")
    assert record(queue, second).id == second
    assert run(client, queue.recover([(first, claimed.token, "w1")], WHY)) == [b"active"]
    assert record(queue, push(queue, unique_until="start")).id == second
    for number in (2, 3):
        for job in claim(queue, number=number):
            assert run(client, queue.settle_succeeded("w1", [(job.id, job.token)])) == [1]
    assert locks(client) == []
    assert queue.stats().active == queue.stats().processing == 0


def test_for_a_time_the_key_is_free_afterwards(queue: Queue, client: Redis) -> None:
    first = push(queue, unique_until=timedelta(milliseconds=50))
    wait_until(lambda: not locks(client))
    second = push(queue, unique_until=3600)
    assert record(queue, second).id == second
    claimed = claim_both(queue)
    assert run(client, queue.settle_succeeded("w1", [(first, claimed[first])])) == [1]
    assert len(locks(client)) == 1  # it is the second's
    assert run(client, queue.settle_succeeded("w1", [(second, claimed[second])])) == [1]
    assert locks(client) == []


def claim_both(queue: Queue) -> dict[str, int]:
    register(queue, "w1")
    return {job.id: job.token for job in claim(queue)}


def test_replace_gives_a_waiting_job_the_new_payload_and_due_time(
    queue: Queue, client: Redis
) -> None:
    first = push(queue, {"n": 1}, delay=60)
    push(queue, {"n": 2}, delay=120, replace=True)
    assert record(queue, first).payload == b'{"n":2}'
    due = client.zscore("jobs:email:scheduled", first)
    assert due is not None
    assert 110_000 < due - now(client) <= 120_000
    push(queue, {"n": 3}, replace=True)
    claimed = take(queue)
    assert (claimed.id, claimed.raw) == (first, b'{"n":3}')
    push(queue, {"n": 4}, replace=True)  # it runs: too late
    assert record(queue, first).payload == b'{"n":3}'
    assert check(queue) == []


def test_replace_leaves_a_job_in_the_list_at_its_place(queue: Queue) -> None:
    first = push(queue, {"n": 1})
    last = queue.push({})
    push(queue, {"n": 2}, delay=60, replace=True)
    register(queue, "w1")
    assert [(job.id, job.raw) for job in claim(queue)] == [(first, b'{"n":2}'), (last, b"{}")]


def test_a_lock_whose_job_is_gone_is_taken_over(queue: Queue, client: Redis) -> None:
    first = push(queue)
    client.delete(f"jobs:email:job:{first}")
    second = push(queue)
    assert record(queue, second).id == second
    client.set("jobs:email:unique:" + "0" * 40, "nonsense")
    (lock,) = [key for key in locks(client) if not key.endswith(b"0" * 40)]
    client.delete(lock)
    client.sadd(lock, "a set")
    assert take(queue).id == second  # nothing of this stops a claim, or its settle
    assert run(client, queue.settle_succeeded("w1", [(second, 1)])) == [1]


def test_an_operator_takes_the_key_again_or_is_told_who_has_it(queue: Queue, client: Redis) -> None:
    first = push(queue)
    assert run(client, queue.settle_failed("w1", [(take(queue).id, 1, WHY)])) == [1]
    second = push(queue)
    before = record(queue, first)
    for revive in (lambda: queue.retry(first), lambda: queue.edit(first, {})):
        with pytest.raises(UniqueHeld, match=f"{first}.*job {second} of the same unique key"):
            revive()
    assert record(queue, first) == before
    assert queue.cancel(second)
    assert queue.retry(first)
    assert record(queue, push(queue)).id == first
    assert check(queue) == []


def test_cancel_and_waiting_follow_an_id_to_the_job_that_stands(
    queue: Queue, client: Redis
) -> None:
    first, second = push(queue), push(queue)
    assert queue.cancel(second)
    assert queue.job(first) is None
    assert queue.job(second) is None


def test_wait_for_follows_too_and_no_signal_tells_of_what_was_not_added(client: Redis) -> None:
    told: list[str] = []

    def note(id: str, **_: Any) -> None:
        told.append(id)

    job_pushed.connect(note)
    try:
        first = push_job("test.quick", unique="one")
        second = push_job("test.quick", unique="one")
    finally:
        job_pushed.disconnect(note)
    assert told == [first]
    queue = Queue("default", client)
    found: list[JobRecord] = []
    thread = threading.Thread(target=lambda: found.append(wait_for(second, 60)))
    thread.start()
    redis: Any = client
    wait_until(lambda: redis.exists("jobs:default:waited"))
    assert run(client, queue.settle_kept("w1", [(take(queue).id, 1, 60.0, "7")])) == [1]
    thread.join(4)
    assert (found[0].id, found[0].state) == (first, "succeeded")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unique": ""}, "unique is '', not a text"),
        ({"unique": 7}, "unique is 7, not a text"),
        ({"unique": "\ud800"}, "surrogates"),
        ({"unique": "x" * 201}, "not a text of 1 to 200"),
        ({"unique": "x", "unique_until": "later"}, "unique_until is 'later'"),
        ({"unique": "x", "unique_until": -1}, "unique_until has -1"),
        ({"unique_until": "start"}, "unique_until needs a unique key"),
        ({"replace": True}, "replace needs a unique key"),
    ],
)
def test_bad_options_are_named(options: Any, said: str) -> None:
    with pytest.raises(OptionError, match=rf"test\.quick.*{said}"):
        push_job("test.quick", **options)


def test_many_at_once_are_not_unique() -> None:
    with pytest.raises(OptionError, match="push each job by push_job"):
        push_jobs("test.quick", [{}], unique="x")
