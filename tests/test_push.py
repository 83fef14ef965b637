"""`push_job`: what it takes, and what it refuses at the caller's line."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from redis import Redis

from django_jobs import apush_job, get_queue, push_job, push_jobs
from django_jobs.exceptions import OptionError, PayloadError, PushError, UnknownHandler

pytestmark = pytest.mark.usefixtures("client")


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_it_is_pushed_at_once() -> None:
    assert get_queue().job(push_job("test.quick", {"n": 1})).payload == b'{"n":1}'  # type: ignore[union-attr]
    assert len(push_jobs("test.quick", [{}] * 450)) == 450
    assert get_queue().stats().active == 451


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("many", [1, 450])
def test_a_redis_that_is_away_or_silent_raises_within_2_s(silent_redis: str, many: int) -> None:
    for url in ("redis://127.0.0.1:1/0", silent_redis):
        with override_settings(JOBS={"URL": url}):
            began = time.monotonic()
            with pytest.raises(PushError, match=r"default.*[0-9a-f]{32}.*test\.quick"):
                push_jobs("test.quick", [{}] * many)
            assert time.monotonic() - began < 2


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
        {"expires": -1},
        {"expires": "soon"},
        {"expires": datetime(2030, 1, 1)},  # noqa: DTZ001
        {"expires": 60, "delay": 60},
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
