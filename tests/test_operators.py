"""What operators do beyond single moves: edit, spread, empty; what workers say and are told."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from django_jobs.claims import report_call
from django_jobs.exceptions import PayloadError, PayloadTooLarge
from django_jobs.invariants import check
from django_jobs.line import run
from django_jobs.options import JobOptions
from django_jobs.queue import Queue
from django_jobs.record import JobRecord
from django_jobs.scripts import Call, get_script
from tests.conftest import wait_until
from tests.test_transitions import WHY, claim, dump, held, now, register


def fail(queue: Queue, number: int = 1, **options: object) -> str:
    """Push a job, claim it and let it fail for good."""
    queue.push({"n": 1}, "shop.send", **options)  # type: ignore[arg-type]
    register(queue, "w1")
    (claimed,) = claim(queue, number=number)
    assert run(queue.client, queue.settle_failed("w1", [(claimed.id, claimed.token, WHY)])) == [1]
    return claimed.id


def record(queue: Queue, id: str) -> JobRecord:
    found = queue.job(id)
    assert found is not None
    return found


def test_an_edited_job_runs_with_the_new_payload_and_keeps_the_old(queue: Queue) -> None:
    id = fail(queue)
    assert queue.edit(id, {"n": 2})
    (again,) = claim(queue, number=2)
    assert (again.id, again.raw, again.attempt) == (id, b'{"n":2}', 1)
    assert record(queue, id).edited == ((1, b'{"n":1}'),)
    assert check(queue) == []


def test_of_many_edits_the_first_and_the_last_two_are_kept(queue: Queue) -> None:
    id = fail(queue)
    for n in range(2, 7):
        assert queue.edit(id, {"n": n})
        (claimed,) = claim(queue, number=n)
        assert run(queue.client, queue.settle_failed("w1", [(id, claimed.token, WHY)])) == [1]
    kept = [json.loads(payload)["n"] for _, payload in record(queue, id).edited]
    assert kept == [1, 4, 5]
    assert json.loads(record(queue, id).payload) == {"n": 6}


def test_two_edits_before_the_next_run_keep_what_ran(queue: Queue) -> None:
    id = fail(queue)
    assert queue.edit(id, {"n": 2})
    assert queue.fail(id, "wrong again")
    assert queue.edit(id, {"n": 3})
    assert record(queue, id).edited == ((1, b'{"n":1}'),)


def test_an_edit_of_what_changed_meanwhile_changes_nothing(queue: Queue, client: Redis) -> None:
    id = fail(queue)
    before = dump(client)
    call = Call(get_script("edit"), queue.keys, (id, '{"n":9}', '{"n":2}'))
    assert run(client, call) == 0
    assert dump(client) == before


def test_an_edit_that_is_no_payload_is_refused(client: Redis) -> None:
    queue = Queue("email", client, max_payload=50)
    id = fail(queue)
    before = dump(client)
    with pytest.raises(PayloadError, match="shop.send"):
        queue.edit(id, {1: 2})
    with pytest.raises(PayloadTooLarge, match="email"):
        queue.edit(id, "x" * 50)
    assert not queue.edit("nobody", {})
    assert dump(client) == before


def test_a_spread_retry_is_due_later_and_waits_from_then(queue: Queue, client: Redis) -> None:
    id = fail(queue)
    assert run(client, Call(get_script("retry"), queue.keys, (id, 60_000))) == 1
    due = client.zscore("jobs:email:scheduled", id)
    assert due is not None
    assert 55_000 < due - now(client) <= 60_000
    assert record(queue, id).state == "scheduled"
    assert (queue.stats().failed, queue.stats().scheduled) == (0, 1)
    assert check(queue) == []
    client.zadd("jobs:email:scheduled", {id: 1})
    client.hset(f"jobs:email:job:{id}", "due_at", round(now(client)))
    (again,) = claim(queue, number=2)
    assert (again.attempt, again.waited_ms < 5_000) == (1, True)


def test_a_spread_retry_of_an_id_in_the_list_takes_its_old_place(queue: Queue) -> None:
    id = queue.push({}, "shop.send")
    assert queue.fail(id, "wrong")
    assert run(queue.client, Call(get_script("retry"), queue.keys, (id, 60_000))) == 1
    assert (queue.stats().active, queue.stats().scheduled) == (1, 0)
    register(queue, "w1")
    assert [job.id for job in claim(queue)] == [id]
    assert check(queue) == []


def test_groups_are_counted_by_handler_and_exception(queue: Queue, client: Redis) -> None:
    ids = [fail(queue, n) for n in range(1, 4)]
    stopped = queue.push({}, "shop.send")
    queue.fail(stopped, "no")
    index = {b"shop.send ValueError": b"3", b"shop.send Stopped": b"1"}
    assert client.hgetall("jobs:email:groups") == index
    assert queue.discard(ids[0])
    assert queue.retry(ids[1])
    assert queue.edit(ids[2], {})
    assert client.hgetall("jobs:email:groups") == {b"shop.send Stopped": b"1"}
    assert client.keys("jobs:email:group:*ValueError") == []


def test_beyond_a_thousand_groups_the_rest_is_other(queue: Queue, client: Redis) -> None:
    client.hset("jobs:email:groups", mapping={f"h{n} E": 1 for n in range(999)})
    first, known, new = fail(queue, 1), fail(queue, 2), queue.push({}, "another")
    queue.fail(new, "no")
    assert [record(queue, id).group for id in (first, known)] == ["shop.send ValueError"] * 2
    assert record(queue, new).group == "other"
    assert client.zrange("jobs:email:group:other", 0, -1) == [new.encode()]
    assert queue.discard(new)
    assert not client.hexists("jobs:email:groups", "other")


def test_a_failed_job_that_lost_its_hash_leaves_its_group_too(queue: Queue, client: Redis) -> None:
    id = fail(queue)
    client.delete(f"jobs:email:job:{id}")
    assert queue.discard(id)
    assert client.keys("jobs:email:group*") == []


def test_empty_deletes_what_waits_and_nothing_else(queue: Queue, client: Redis) -> None:
    running, failed = held(queue, worker="w2").id, fail(queue)
    later = queue.push({}, delay=60)
    waiting = [queue.push({}, priority=p) for p in (0, 0, 5, -5, 0)]
    cancelled, stopped = queue.push({}), queue.push({})
    queue.cancel(cancelled)
    queue.fail(stopped, "no")
    client.lpush("jobs:email:active", b"\xff")
    assert queue.empty(3) == (3, 3)
    assert queue.job(waiting[2]) is None
    assert [queue.job(id) is None for id in waiting] == [True, True, True, False, False]
    assert queue.empty() == (2, 5)
    assert queue.empty() == (0, 0)
    stats = queue.stats()
    assert (stats.active, stats.processing, stats.scheduled, stats.failed) == (0, 1, 1, 3)
    assert all(queue.job(id) for id in (running, failed, later, stopped))
    assert check(queue) == []


def test_what_was_counted_is_added_to_its_minute_and_its_hour(queue: Queue, client: Redis) -> None:
    for _ in range(2):
        assert run(client, queue.count({"runs": 3, "shop.send took:7": 1})) == 1
    minutes, hours = client.keys("jobs:email:minute:*"), client.keys("jobs:email:hour:*")
    kept = {sum(int(client.hget(key, "runs") or 0) for key in keys) for keys in (minutes, hours)}
    assert kept == {6}
    assert 3_600 < client.ttl(minutes[0]) <= 7_200
    assert 7 * 86_400 < client.ttl(hours[0]) <= 8 * 86_400


def test_a_worker_reports_and_hears_what_it_is_told(queue: Queue, client: Redis) -> None:
    assert not queue.order("w1", "quiet")
    report = report_call([queue], {"w1": '{"pid": 7}', "w2": "{}"})
    assert run(client, report) == []
    assert not client.exists("jobs:email:about")
    register(queue, "w1")
    assert run(client, report) == []
    assert client.hgetall("jobs:email:about") == {b"w1": b'{"pid": 7}'}
    assert queue.order("w1", "quiet")
    assert run(client, report) == run(client, report) == [b"quiet"]
    assert not queue.order("w2", "stop")
    run(client, queue.close("w1"))
    assert not queue.order("w1", "stop")
    assert run(client, report) == []
    assert not client.exists("jobs:email:about", "jobs:email:orders")


@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"priority": -3}, {"delay": 0.001}])
def test_a_job_that_begins_too_late_fails_and_delays_nobody(
    queue: Queue, client: Redis, options: JobOptions
) -> None:
    late = queue.push({}, "shop.send", expires=0.01, **options)
    good = queue.push({}, "shop.send", expires=timedelta(hours=1))
    wait_until(lambda: now(client) > float(client.hget(f"jobs:email:job:{late}", "expires_at")))
    register(queue, "w1")
    (claimed,) = claim(queue)
    assert claimed.id == good
    failed = record(queue, late)
    assert (failed.state, failed.exception) == ("failed", "django_jobs.exceptions.Expired")
    assert failed.errors[-1].message == "It had not begun in time."
    assert failed.attempts == 0
    assert check(queue) == []
    assert queue.retry(late)  # an operator wants it all the same
    assert [job.id for job in claim(queue, number=2)] == [late]


def test_a_job_that_began_in_time_may_be_tried_again_later(queue: Queue, client: Redis) -> None:
    claimed = held(queue, expires=3600)
    client.hset(f"jobs:email:job:{claimed.id}", "expires_at", 1)
    run(client, queue.settle_retry("w1", [(claimed.id, 1, 0.0, WHY)]))
    assert [job.id for job in claim(queue, number=2)] == [claimed.id]


def test_a_moment_by_which_a_job_must_begin_is_kept(queue: Queue) -> None:
    moment = datetime(2035, 1, 1, tzinfo=UTC)
    assert record(queue, queue.push(expires=moment)).expires_at == moment


def test_a_stop_is_told_to_the_worker_that_runs_the_job_until_it_ended(
    queue: Queue, client: Redis
) -> None:
    other, later = Queue("other", client), queue.push({}, delay=60)
    assert not queue.stop(later)
    claimed = held(queue, worker="w1")
    register(queue, "w2")
    assert queue.stop(claimed.id)
    assert run(client, report_call([other, queue], {"w2": "{}"})) == []
    told = [f"job 2 {claimed.id}".encode()]
    for _ in range(2):
        assert run(client, report_call([other, queue], {"w1": "{}"})) == told
    assert run(client, queue.settle_retry("w1", [(claimed.id, claimed.token, 60.0, WHY)])) == [1]
    failed = record(queue, claimed.id)
    assert (failed.state, failed.exception) == ("failed", "django_jobs.exceptions.JobStopped")
    assert run(client, report_call([queue], {"w1": "{}"})) == []
    assert not client.exists("jobs:email:stops")
    assert queue.retry(claimed.id)
    assert not client.hexists(f"jobs:email:job:{claimed.id}", "stop")
    assert check(queue) == []
