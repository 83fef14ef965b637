"""Jobs that belong together, and what follows when all of them have ended."""

import asyncio
import json
from typing import Any

import pytest
from django.db import transaction
from redis import Redis

from django_jobs import apush_batch, get_batch, get_queue, push_batch
from django_jobs.exceptions import JobsError, OptionError, PayloadError, PushError, UnknownHandler
from django_jobs.handlers import Handler
from django_jobs.invariants import check
from django_jobs.job import Claimed
from django_jobs.line import run
from django_jobs.monitor import batches
from django_jobs.options import NewJob
from django_jobs.queue import Queue
from django_jobs.signals import job_pushed
from tests.conftest import Runjobs, wait_until
from tests.processes import ran
from tests.test_limits import number
from tests.test_transitions import WHY, claim, dump, register

NAP = ("test.nap", {"seconds": 0})
BULK = Handler("batches.bulk", lambda job: None, queue="bulk")  # known to this module only


@pytest.fixture
def default(client: Redis) -> Queue:
    """The queue `default` of an empty Redis."""
    return get_queue()


def take(queue: Queue) -> list[Claimed]:
    register(queue, "w1")
    return claim(queue, number=number())


def succeed(queue: Queue, *jobs: Claimed) -> None:
    if jobs:
        run(queue.client, queue.settle_succeeded("w1", [(job.id, job.token) for job in jobs]))


def fail(queue: Queue, job: Claimed) -> None:
    run(queue.client, queue.settle_failed("w1", [(job.id, job.token, WHY)]))


def handlers(jobs: list[Claimed]) -> list[str]:
    return [job.handler for job in jobs]


def push(jobs: int = 2) -> str:
    return push_batch(
        [NAP] * jobs,
        on_success=("test.quick", {"for": "all"}),
        on_complete="test.add",
        on_failure="test.broken",
    )


def test_what_follows_is_pushed_once_when_all_have_succeeded(default: Queue) -> None:
    id = push()
    one, two = take(default)
    succeed(default, one)
    assert take(default) == []
    found = get_batch(id)
    assert found is not None
    assert (found.total, found.waiting, found.succeeded, found.done) == (2, 1, 1, False)
    succeed(default, two)
    succeed(default, two)
    complete, success = take(default)
    assert handlers([complete, success]) == ["test.add", "test.quick"]
    counts = {"batch": id, "total": 2, "succeeded": 2, "failed": 0, "cancelled": 0}
    assert json.loads(complete.raw) == {**counts, "payload": None}
    assert json.loads(success.raw) == {**counts, "payload": {"for": "all"}}
    assert take(default) == []
    found = get_batch(id)
    assert found is not None
    assert found.done
    assert batches.not_done(default) == []
    assert check(default) == []


def test_a_failure_is_told_and_success_follows_when_it_was_retried(default: Queue) -> None:
    id = push()
    one, two = take(default)
    fail(default, one)
    succeed(default, two)
    assert handlers(complete := take(default)) == ["test.add", "test.broken"]
    succeed(default, *complete)
    assert default.retry(one.id)
    (again,) = take(default)
    succeed(default, again)
    (success,) = take(default)
    assert (success.handler, json.loads(success.raw)["succeeded"]) == ("test.quick", 2)
    assert json.loads(success.raw)["batch"] == id


def test_what_is_cancelled_has_ended_and_what_is_discarded_has_failed(default: Queue) -> None:
    id = push(3)
    one, *_ = take(default)
    fail(default, one)
    assert default.discard(one.id)
    found = get_batch(id)
    assert found is not None
    assert (found.failed, found.waiting) == (1, 2)
    default.client.flushall()
    id = push(2)
    ids = [row.decode() for row in default.client.lrange("jobs:default:active", 0, -1)]
    assert default.cancel(ids[0])
    assert default.empty() == (1, 2)
    assert handlers(take(default)) == ["test.add", "test.quick"]
    found = get_batch(id)
    assert found is not None
    assert (found.cancelled, found.waiting) == (2, 0)


def test_a_kept_job_and_one_that_expired_have_ended(default: Queue, client: Redis) -> None:
    id = push_batch([NAP, ("test.nap", {}, {"expires": 60})], on_failure="test.quick")
    for key in client.keys("jobs:default:job:*"):
        if client.hexists(key, "expires_at"):
            client.hset(key, "expires_at", 1)
    (job,) = take(default)
    run(client, default.settle_kept("w1", [(job.id, job.token, 60.0, "1")]))
    found = get_batch(id)
    assert found is not None
    assert (found.succeeded, found.failed, found.done) == (1, 1, True)
    assert handlers(take(default)) == ["test.quick"]


def test_what_follows_waits_as_it_was_pushed(default: Queue) -> None:
    default.push({}, "test.nap")
    push_batch(
        [],
        on_complete=("test.add", [1], {"priority": 5}),
        on_success=("test.quick", {}, {"limit_key": "k", "limit": 1}),
    )
    assert check(default) == []
    first, *others = take(default)
    assert first.handler == "test.add"
    assert sorted(handlers(others)) == ["test.nap", "test.quick"]
    assert default.client.hlen("jobs:default:keyed") == 1
    assert check(default) == []


@pytest.mark.parametrize("key", ["batch:{}", "batch:{}:jobs"])
def test_a_batch_of_a_wrong_type_stops_no_other(default: Queue, key: str) -> None:
    broken, other = push(1), push(1)
    wrong = f"jobs:default:{key.format(broken)}"
    default.client.delete(wrong)
    default.client.set(wrong, "x")
    succeed(default, *take(default))
    found = get_batch(other)
    assert found is not None
    assert found.done


def test_an_empty_batch_is_done_at_once(default: Queue) -> None:
    id = push(0)
    assert handlers(take(default)) == ["test.add", "test.quick"]
    found = get_batch(id)
    assert found is not None
    assert found.done


def test_thousands_are_pushed_in_chunks_and_counted(default: Queue) -> None:
    id = push_batch((NAP for _ in range(1234)), on_complete="test.quick")
    while jobs := [job for job in take(default) if job.handler == "test.nap"]:
        succeed(default, *jobs)
    found = get_batch(id)
    assert found is not None
    assert (found.total, found.succeeded, found.waiting) == (1234, 1234, 0)
    assert default.stats().processing == 1  # what followed


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4, 5])
def test_a_push_that_broke_off_is_open_and_can_be_sent_again(default: Queue, lost: int) -> None:
    """Whatever of it came, in whatever order: sent again as a whole it counts once."""
    sent: list[Any] = []
    add = default.add
    default.add = lambda jobs: sent.extend(jobs) or [1] * len(jobs)  # type: ignore[method-assign]
    id = push(2)
    default.add = add  # type: ignore[method-assign]
    assert len(sent) == 6
    default.add(sent[lost:][::-1])
    found = get_batch(id)
    assert found is not None
    some = take(default)
    succeed(default, *some)
    default.add(sent)
    default.add(sent)
    succeed(default, *take(default))
    succeed(default, *take(default))
    found = get_batch(id)
    assert found is not None
    assert (found.total, found.succeeded, found.waiting) == (2, 2, 0)
    assert default.stats().active == default.stats().processing == 0


def test_an_open_batch_is_found(default: Queue) -> None:
    sent: list[Any] = []
    add = default.add
    default.add = lambda jobs: sent.extend(jobs) or [1] * len(jobs)  # type: ignore[method-assign]
    id = push(2)
    default.add = add  # type: ignore[method-assign]
    default.add(sent[:1])
    (found,) = batches.not_done(default)
    assert (found.id, found.total, found.waiting, found.done) == (id, None, 1, False)
    assert batches.not_done(default, before=1) == []


def test_nothing_of_a_batch_is_left_for_ever(default: Queue) -> None:
    push()
    succeed(default, *take(default))
    succeed(default, *take(default))
    left = [key for key in dump(default.client) if b":batch" in key]
    assert left
    assert all(0 < default.client.ttl(key) <= 3600 for key in left)


@pytest.mark.django_db(transaction=True)
def test_it_is_pushed_on_commit_and_never_after_a_rollback(default: Queue) -> None:
    with transaction.atomic():
        id = push()
        assert default.stats().active == 0
    assert default.stats().active == 2
    assert get_batch(id) is not None
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        id = push()
        raise ZeroDivisionError
    assert get_batch(id) is None


def test_it_is_pushed_from_async_code(default: Queue) -> None:
    id = asyncio.run(apush_batch([NAP], on_complete="test.quick"))
    assert get_batch(id) is not None
    assert default.stats().active == 1


def test_a_signal_is_sent_for_each_job_and_not_for_what_is_to_follow(default: Queue) -> None:
    seen: list[str] = []

    def note(sender: str, **_: Any) -> None:
        seen.append(sender)

    job_pushed.connect(note)
    try:
        push()
    finally:
        job_pushed.disconnect(note)
    assert seen == ["test.nap", "test.nap"]


def test_another_queue_is_refused_naming_both(client: Redis) -> None:
    with pytest.raises(
        OptionError, match=r"'test\.nap' goes to 'default'.*'batches\.bulk'.*queue="
    ):
        push_batch([NAP, (BULK, {})])
    assert client.keys() == []
    push_batch([NAP, (BULK, {})], queue="bulk")
    assert get_queue("bulk").stats().active == 2


def test_a_push_that_failed_may_be_made_again(default: Queue, client: Redis) -> None:
    client.set("jobs:default:active", "not a list")
    job = NewJob("1" * 32, "test.nap", "{}", batch="2" * 32)
    with pytest.raises(PushError):
        default.add([job])
    client.delete("jobs:default:active")
    assert default.add([job]) == [1]
    assert default.add([job]) == [0]
    assert default.stats().active == 1


def test_bad_jobs_are_refused_and_nothing_is_pushed(client: Redis) -> None:
    with pytest.raises(UnknownHandler, match="no.such"):
        push_batch([NAP, "no.such"])
    with pytest.raises(PayloadError, match=r"test\.nap"):
        push_batch([NAP, ("test.nap", object())])
    with pytest.raises(OptionError, match=r"'test\.nap', 1, {}, 2\) is no job of a batch"):
        push_batch([("test.nap", 1, {}, 2)])  # type: ignore[list-item]
    with pytest.raises(JobsError, match=r"takes a handler or its name, not \(\)"):
        push_batch([()])  # type: ignore[list-item]
    with pytest.raises(OptionError, match=r"test\.nap.*unique"):
        push_batch([("test.nap", {}, {"unique": "k"})])
    with pytest.raises(OptionError, match=r"test\.quick.*follows a batch takes no delay"):
        push_batch([NAP], on_success=("test.quick", {}, {"delay": 60}))
    assert client.keys() == []


def test_runjobs_runs_a_batch_and_what_follows(
    runjobs: Runjobs, ledger: Any, default: Queue
) -> None:
    id = push_batch([NAP] * 50, on_complete="test.quick")
    tree = runjobs("--drain", "--processes", "2")
    wait_until(lambda: tree.poll() is not None, 30)
    assert len(ran(ledger)) == 51
    assert set(ran(ledger).values()) == {1}
    found = get_batch(id)
    assert found is not None
    assert found.succeeded == 50
