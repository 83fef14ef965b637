"""A queue without handlers: push, pull, failed jobs."""

import os
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis

from django_jobs.exceptions import (
    Empty,
    LeaseLost,
    OptionError,
    PayloadError,
    PayloadTooLarge,
    PushError,
)
from django_jobs.failure import Failure
from django_jobs.job import Job
from django_jobs.line import run
from django_jobs.options import NewJob
from django_jobs.queue import Queue


def test_pull_runs_one_job_and_leaves_nothing(queue: Queue, client: Redis) -> None:
    queue.push({"n": 1})
    assert queue.pull(lambda job: (job.payload, job.attempt, job.attempts)) == ({"n": 1}, 1, 0)
    with pytest.raises(Empty):
        queue.pull(lambda job: job)
    assert not client.keys("jobs:email:job:*")


def test_pull_raises_again_and_gives_up_after_five_attempts(queue: Queue) -> None:
    def work(job: Job) -> None:
        raise ValueError(job.attempt)

    queue.push()
    for attempt in range(1, 6):
        with pytest.raises(ValueError, match=str(attempt)):
            queue.pull(work)
    with pytest.raises(Empty):
        queue.pull(work)
    (record,) = queue.failed()
    assert [error.token for error in record.errors] == [1, 2, 3, 4, 5]
    assert [bool(error.traceback) for error in record.errors] == [True, False, False, True, True]


def test_pull_says_when_the_job_was_taken_over(queue: Queue, client: Redis) -> None:
    def work(job: Job) -> None:
        client.hset(f"jobs:email:job:{job.id}", "token", 5)

    queue.push()
    with pytest.raises(LeaseLost):
        queue.pull(work)


def test_an_id_is_pushed_once(queue: Queue) -> None:
    job = NewJob("one", "h", "{}")
    assert queue.add([job, job]) == [True, False]
    assert queue.add([job]) == [False]
    assert queue.stats().active == 1


def test_a_push_of_many_may_take_longer_than_the_client_waits_for_one_answer(
    client: Redis,
) -> None:
    hasty = Redis.from_url(os.environ["REDIS_URL"], protocol=2, socket_timeout=0.8)
    many = [
        NewJob(f"{n:032x}", "h", "null", unique=f"end:{n}", limit_key=f"{n}", batch="b")
        for n in range(40_000)
    ]
    assert Queue("email", hasty).add(many) == [1] * 40_000
    hasty.close()


def test_failed_pages_through_jobs_of_one_moment(queue: Queue, client: Redis) -> None:
    ids = {queue.push() for _ in range(250)}
    for id in ids:
        queue.fail(id, "all at once")
    client.zadd("jobs:email:failed", dict.fromkeys(ids, 1000))
    assert [record.id for record in queue.failed()].count("") == 0
    assert len(list(queue.failed())) == 250
    assert {record.id for record in queue.failed()} == ids


def test_unmarshal(queue: Queue) -> None:
    queue.push({"a": 1, "b": 2})
    assert queue.pull(lambda job: job.unmarshal(dict)) == {"a": 1, "b": 2}


def test_a_redis_that_is_away_is_named_with_the_job() -> None:
    with pytest.raises(PushError, match="handler 'h'"):
        Queue("email", Redis(port=1)).push({}, "h")


def test_a_flushed_script_cache_is_no_error(queue: Queue, client: Redis) -> None:
    queue.push()
    client.script_flush()
    assert run(client, queue.close("nobody")) == []
    assert queue.pull(lambda job: job.attempt) == 1


def test_pull_finds_the_job_behind_many_cancelled_ones(queue: Queue) -> None:
    ids = [queue.push() for _ in range(120)]
    assert all(queue.cancel(id) for id in ids[:-1])
    assert queue.pull(lambda job: job.id) == ids[-1]
    assert queue.stats().active == 0


def test_pull_finds_the_job_behind_more_cancelled_ones_than_a_claim_looks_at(
    queue: Queue, client: Redis
) -> None:
    """One claim drops some 3,500 such ids."""
    ids = [f"gone-{n}" for n in range(5000)]
    queue.add([NewJob(id, "h", "{}") for id in ids])
    assert all(queue.cancel(id) for id in ids)
    last = queue.push()
    assert queue.pull(lambda job: job.id) == last
    assert queue.stats().active == 0


def test_pull_in_a_pull_and_order_after_an_error(queue: Queue) -> None:
    first, second = queue.push(), queue.push()

    def work(job: Job) -> None:
        raise KeyError(job.id)

    with pytest.raises(KeyError):
        queue.pull(work)
    assert queue.pull(lambda one: (one.id, queue.pull(lambda other: other.id))) == (second, first)


def test_pull_leaves_no_trace_of_its_worker(queue: Queue, client: Redis) -> None:
    with pytest.raises(Empty):
        queue.pull(lambda job: job)
    assert not client.keys()
    queue.push()
    queue.pull(lambda job: job)
    assert set(client.keys()) == {b"jobs:email:queue", b"jobs:email:wake"}


def test_a_settle_that_redis_does_not_know_leaves_no_worker(queue: Queue, client: Redis) -> None:
    def work(job: Job) -> None:
        client.script_flush()
        run(client, queue.close("nobody", answered=True))  # close is known, settle is not

    queue.push()
    queue.pull(work)
    assert set(client.keys()) == {b"jobs:email:queue", b"jobs:email:wake"}


def test_pull_counts_a_payload_that_is_not_json_as_an_attempt(queue: Queue, client: Redis) -> None:
    client.hset(f"jobs:email:job:{queue.push(max_attempts=1)}", "payload", b"\xff{")
    with pytest.raises(PayloadError):
        queue.pull(lambda job: job)
    assert [record.payload for record in queue.failed()] == [b"\xff{"]


def test_a_job_recovered_while_pulled_is_lost_and_runs_again(queue: Queue, client: Redis) -> None:
    def work(job: Job) -> None:
        worker = client.hget("jobs:email:processing", job.id)
        why = Failure("WorkerLost", "gone", "")
        run(client, queue.recover([(job.id, job.token, worker.decode())], why))

    id = queue.push()
    with pytest.raises(LeaseLost, match=id):
        queue.pull(work)
    assert queue.pull(lambda job: (job.id, job.attempt, job.token)) == (id, 2, 3)


def test_failed_reaches_every_job_while_they_are_discarded(queue: Queue, client: Redis) -> None:
    ids = [queue.push() for _ in range(250)]
    for id in ids:
        queue.fail(id, "all at once")
    client.zadd("jobs:email:failed", dict.fromkeys(ids, 1000))
    assert sum(queue.discard(record.id) for record in queue.failed()) == 250
    assert queue.stats().failed == 0


def test_failed_is_newest_first_across_pages(queue: Queue, client: Redis) -> None:
    ids = [queue.push() for _ in range(230)]
    for id in ids:
        queue.fail(id, "one by one")
    client.zadd("jobs:email:failed", {id: 1000 + n for n, id in enumerate(ids)})
    assert [record.id for record in queue.failed()] == ids[::-1]


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": "soon"},
        {"delay": float("nan")},
        {"delay": 1, "run_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"run_at": "2030-01-01"},
        {"run_at": datetime(2030, 1, 1)},
        {"priority": 101},
        {"priority": -101},
        {"priority": True},
        {"priority": 1.5},
        {"max_attempts": 0},
        {"max_attempts": "5"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "5"},
        {"prioritty": 1},
    ],
    ids=repr,
)
def test_a_bad_option_is_refused_and_nothing_is_pushed(
    queue: Queue, client: Redis, options: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match="Handler 'shop.send', queue 'email': "):
        queue.push({}, "shop.send", **options)
    assert not client.keys()


@pytest.mark.parametrize("payload", [{1: 2}, {"a": {2: 3}}, float("nan"), {"a": {1, 2}}, object()])
def test_a_payload_that_is_not_json_is_refused(queue: Queue, client: Redis, payload: Any) -> None:
    with pytest.raises(PayloadError, match=r"shop\.send"):
        queue.push(payload, "shop.send")
    assert not client.keys()


def test_a_payload_may_be_as_large_as_the_limit(client: Redis) -> None:
    queue = Queue("email", client, max_payload=10)
    assert queue.push("é" * 4)
    with pytest.raises(PayloadTooLarge, match="12 bytes"):
        queue.push("é" * 5)
    assert queue.stats().active == 1


def test_a_push_error_names_the_first_job() -> None:
    job = NewJob("the-id", "shop.send", "{}")
    with pytest.raises(
        PushError, match=r"queue 'email', the first is the-id \(handler 'shop.send'"
    ):
        Queue("email", Redis(port=1)).add([job, NewJob("next", "h", "{}")])


def test_many_jobs_are_pushed_once_across_batches(queue: Queue) -> None:
    jobs = [NewJob(f"job-{n}", "h", "{}") for n in range(450)]
    assert queue.add(jobs[:300]) == [True] * 300
    assert queue.add(jobs) == [False] * 300 + [True] * 150
    assert queue.stats().active == 450


def test_a_new_queue_is_announced_once_and_again_when_made_anew(client: Redis) -> None:
    names: list[str] = []
    queue = Queue("email", client, announce=names.append)
    queue.push()
    queue.push()
    seen = len(names)
    assert set(names) == {"email"}
    client.flushall()
    queue.push()
    assert len(names) == seen + 1


def test_progress_that_cannot_be_told_fails_no_run() -> None:
    away = Queue("email", Redis(port=1))
    away.progress_function("w1")(Job("1", "email", "h", {}), 0.5, "half")


@pytest.mark.parametrize("key", ["active", "priority", "processing", "failed", "meta", "counts"])
def test_stats_count_what_they_can(queue: Queue, client: Redis, key: str) -> None:
    queue.push(delay=60)
    client.sadd(f"jobs:email:{key}", "a set")
    assert (queue.stats().scheduled, queue.stats().active) == (1, 0)


def test_a_record_says_how_the_job_stands_now(queue: Queue) -> None:
    record = queue.job(queue.push({"n": 1}))
    assert record is not None
    queue.client.hset(f"jobs:email:job:{record.id}", "progress", "half")
    again = record.refresh()
    assert (record.progress, again and again.progress) == ("", "half")
    queue.cancel(record.id)
    assert record.refresh() is None
