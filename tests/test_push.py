"""`push_job` and transactions."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase, override_settings
from redis import Redis

from django_jobs import apush_job, get_queue, push_job, push_jobs
from django_jobs.exceptions import OptionError, PayloadError, PushError, UnknownHandler
from django_jobs.signals import job_push_failed
from tests.testapp.models import Note

DEAD = {"URL": "redis://127.0.0.1:1/0"}

pytestmark = pytest.mark.usefixtures("client")


@pytest.fixture
def lost() -> Iterator[list[dict[str, Any]]]:
    """What `job_push_failed` said."""
    heard: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        heard.append(said)

    job_push_failed.connect(hear)
    yield heard
    job_push_failed.disconnect(hear)


@pytest.mark.django_db(transaction=True)
def test_a_commit_pushes_once_and_a_rollback_never() -> None:
    with transaction.atomic():
        kept = push_job("test.quick")
        with pytest.raises(RuntimeError), transaction.atomic():
            push_job("test.quick")
            raise RuntimeError
        assert get_queue().stats().active == 0
    assert get_queue().stats().active == 1
    assert get_queue().pull(lambda job: job.id) == kept
    with pytest.raises(RuntimeError), transaction.atomic():
        push_job("test.quick")
        raise RuntimeError
    assert get_queue().stats().active == 0


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_the_database_that_is_in_a_transaction_decides() -> None:
    with transaction.atomic(using="other"):
        push_job("test.quick")
        assert get_queue().stats().active == 0
    assert get_queue().stats().active == 1
    with transaction.atomic(), transaction.atomic(using="other"):
        push_job("test.quick", using="other")
        transaction.set_rollback(True, using="default")
    assert get_queue().stats().active == 2


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_it_is_pushed_at_once() -> None:
    assert get_queue().job(push_job("test.quick", {"n": 1})).payload == b'{"n":1}'  # type: ignore[union-attr]
    assert len(push_jobs("test.quick", [{}] * 450)) == 450
    assert get_queue().stats().active == 451


@pytest.mark.django_db(transaction=True)
def test_autocommit_turned_off_by_hand_is_refused() -> None:
    transaction.set_autocommit(False)
    try:
        with pytest.raises(PushError, match="autocommit is off"):
            push_job("test.quick")
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.django_db(transaction=True)
def test_redis_away_at_commit_loses_no_other_hook(
    lost: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    ran = []
    with override_settings(JOBS=DEAD), transaction.atomic():
        ids = [push_job("test.quick", {"n": n}) for n in range(3)]
        transaction.on_commit(lambda: ran.append(True))
    assert ran == [True]
    assert [said["id"] for said in lost] == ids
    assert lost[0]["payload"] == '{"n":0}'
    assert all(id in caplog.text for id in ids)


@pytest.mark.django_db(transaction=True)
def test_redis_away_outside_a_transaction_raises() -> None:
    with override_settings(JOBS=DEAD), pytest.raises(PushError, match=r"test\.quick"):
        push_job("test.quick")


class InTestCase(TestCase):
    """As most projects test."""

    def test_the_push_waits_for_the_commit_hooks(self) -> None:
        """Nothing is pushed until the hooks run."""
        with self.captureOnCommitCallbacks(execute=True):
            Note.objects.create(text="x")
            push_job("test.quick")
            assert get_queue().stats().active == 0
        assert get_queue().stats().active == 1


def test_the_event_loop_is_not_blocked() -> None:
    async def push() -> str:
        with pytest.raises(PushError, match="apush_job"):
            push_job("test.quick")
        return await apush_job("test.quick")

    id = asyncio.run(push())
    assert get_queue().job(id) is not None


def test_an_unknown_handler_is_named_with_its_neighbours() -> None:
    with pytest.raises(UnknownHandler, match=r"test\.quick"):
        push_job("test.quik")
    assert push_job("elsewhere", check=False)


@pytest.mark.parametrize(
    "payload", [{"x": float("nan")}, {1: 2}, {"a": [{2: 1}]}, {"s": {1}}, b"x"]
)
def test_what_is_not_json_is_refused(payload: Any) -> None:
    with pytest.raises(PayloadError, match=r"test\.quick.*default"):
        push_job("test.quick", payload)
    assert get_queue().stats().active == 0


@pytest.mark.parametrize(
    "options",
    [
        {"delay": 1, "run_at": datetime.now().astimezone()},
        {"run_at": datetime(2030, 1, 1)},  # noqa: DTZ001 - naive is the point
        {"priority": 101},
        {"priority": "high"},
        {"delay": -1},
        {"timeout": 0},
        {"max_attempts": 0},
        {"surprise": True},
    ],
)
def test_bad_options_name_handler_and_queue(options: Any) -> None:
    with pytest.raises(OptionError, match=r"test\.quick.*default"):
        push_job("test.quick", **options)


def test_bad_queue_names_are_refused() -> None:
    for name in ("", "a b", "queues", "schedules", "x" * 65):
        with pytest.raises(ValueError, match="cannot name a queue"):
            get_queue(name)


def test_delay_and_priority(client: "Redis[bytes]") -> None:
    push_job("test.quick", delay=timedelta(hours=1))
    low, high = push_job("test.quick"), push_job("test.quick", priority=3)
    assert get_queue().stats().scheduled == 1
    assert [get_queue().pull(lambda job: job.id) for _ in range(2)] == [high, low]
    assert client.smembers("jobs:queues") == {b"default"}


def test_no_database_is_touched_to_push() -> None:
    """pytest-django refuses every access to a database here."""
    push_job("test.quick")
    assert get_queue().stats().active == 1
