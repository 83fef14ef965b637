"""A queue without handlers: push, pull, failed jobs."""

import pytest
from redis import Redis

from django_jobs.exceptions import Empty, LeaseLost, PushError
from django_jobs.job import Job
from django_jobs.queue import Queue
from django_jobs.scripts import run


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
    from django_jobs.options import NewJob

    job = NewJob("one", "h", "{}")
    assert queue.add([job, job]) == [True, False]
    assert queue.add([job]) == [False]
    assert queue.stats().active == 1


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
