"""Work on many jobs, step by step."""

import pytest
from redis import Redis

from django_jobs import bulk
from django_jobs.monitor import pages
from django_jobs.monitor.counts import server_time
from django_jobs.queue import Queue


def failed(queue: Queue, number: int) -> list[str]:
    """Let some jobs fail for good."""

    def fails(job: object) -> None:
        raise ValueError("no")

    ids = []
    for _ in range(number):
        ids.append(queue.push(max_attempts=1))
        with pytest.raises(ValueError, match="no"):
            queue.pull(fails)
    return ids


def test_steps_add_up_to_what_there_was(queue: Queue, client: Redis) -> None:
    other = Queue("other", client)
    queues = {"email": queue, "other": other}
    failed(queue, 5)
    failed(other, 2)
    work = bulk.of_failed("retry", pages.failed(queues.values()))
    done = []
    while not work.over:
        work.step(queues.__getitem__, 2)
        done.append(work.done)
    assert done == [2, 4, 6, 7]
    assert (work.total, work.skipped) == (7, 0)
    assert [one.stats().active for one in queues.values()] == [5, 2]


def test_what_others_took_meanwhile_counts_as_left_alone(queue: Queue) -> None:
    ids = failed(queue, 5)
    work = bulk.of_failed("discard", pages.failed([queue]))
    work.step(lambda _name: queue, 2)
    for id in ids:
        queue.retry(id)
    while not work.over:
        work.step(lambda _name: queue, 2)
    assert (work.done, work.skipped, work.total) == (2, 3, 5)


def test_an_id_that_cannot_be_moved_is_passed_over(queue: Queue, client: Redis) -> None:
    failed(queue, 3)
    client.zadd(f"{queue.root}:failed", {"not-a-job": 1})
    work = bulk.of_failed("retry", pages.failed([queue]))
    while not work.over:
        work.step(lambda _name: queue, 1)
    assert (work.done, work.skipped, work.total) == (3, 1, 4)


def test_work_is_kept_and_done_by_one_at_a_time(queue: Queue, client: Redis) -> None:
    failed(queue, 3)
    work = bulk.of_failed("retry", pages.failed([queue]), who="ann", what="all failed jobs")
    bulk.save(queue, work)
    assert bulk.load(queue, work.id) == work
    assert bulk.load(queue, "absent") is None
    client.set(f"{queue.root}:bulk:{work.id}:step", 1)
    waiting = bulk.go_on(queue, work.id, lambda _name: queue)
    assert waiting is not None
    assert waiting.done == 0
    client.delete(f"{queue.root}:bulk:{work.id}:step")
    bulk.go_on(queue, work.id, lambda _name: queue)
    over = bulk.load(queue, work.id)
    assert over is not None
    assert (over.over, over.done) == (True, 3)
    assert 86_000 < client.ttl(f"{queue.root}:bulk:{work.id}") <= 86_400


def test_a_spread_goes_on_from_step_to_step(queue: Queue, client: Redis) -> None:
    failed(queue, 4)
    work = bulk.of_failed("retry", pages.failed([queue]), spread=400.0)
    began = server_time(queue)
    while not work.over:
        work.step(lambda _name: queue, 2)
    due = [score for _id, score in client.zrange(f"{queue.root}:scheduled", 0, -1, withscores=True)]
    assert [round((at - began) / 100_000) for at in due] == [1, 2, 3]
