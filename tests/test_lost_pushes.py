"""Redis away at the commit: nothing is raised, and each job that was not pushed is told of."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from redis import Redis

from django_jobs import get_queue, push_job, push_jobs
from django_jobs.exceptions import PushError
from django_jobs.signals import job_push_failed
from tests.conftest import free_port, start_redis

DEAD = "redis://127.0.0.1:1/0"  # nobody listens there

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("client")]


def waiting() -> int:
    """Return how many jobs were pushed."""
    return get_queue().stats().active


@pytest.fixture
def lost() -> Iterator[list[dict[str, Any]]]:
    """What `job_push_failed` said."""
    heard: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        heard.append(said)

    job_push_failed.connect(hear)
    yield heard
    job_push_failed.disconnect(hear)


def test_redis_away_loses_no_other_hook_and_is_told(
    lost: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    with override_settings(JOBS={"URL": DEAD}), transaction.atomic():
        transaction.on_commit(lambda: ran.append("before"))
        ids = [push_job("test.quick", {"n": 0})]
        transaction.on_commit(lambda: ran.append("between"))
        ids += push_jobs("test.quick", [{"n": 1}, {"n": 2}])
        transaction.on_commit(lambda: ran.append("behind"))
    assert ran == ["before", "between", "behind"]
    assert [(said["id"], said["payload"]) for said in lost] == [
        (id, f'{{"n":{n}}}') for n, id in enumerate(ids)
    ]
    assert {(said["queue"], said["handler"]) for said in lost} == {("default", "test.quick")}
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    for record, id in zip(caplog.records, ids, strict=True):
        assert (record.job, record.queue, record.handler) == (id, "default", "test.quick")  # type: ignore[attr-defined]
        assert id in record.getMessage()


def test_a_commit_hook_of_the_project_raises() -> None:
    with override_settings(JOBS={"URL": DEAD}), pytest.raises(PushError), transaction.atomic():
        transaction.on_commit(lambda: push_job("test.quick"))


def test_a_receiver_that_raises_loses_no_other_hook() -> None:
    ran: list[str] = []

    def refuse(**_: Any) -> None:
        raise RuntimeError("a receiver")

    job_push_failed.connect(refuse)
    try:
        with override_settings(JOBS={"URL": DEAD}), transaction.atomic():
            push_job("test.quick")
            transaction.on_commit(lambda: ran.append("behind"))
    finally:
        job_push_failed.disconnect(refuse)
    assert ran == ["behind"]


def test_a_silent_redis_delays_a_commit_once(silent_redis: str, lost: list[dict[str, Any]]) -> None:
    with override_settings(JOBS={"URL": silent_redis}):
        with transaction.atomic():
            ids = [push_job("test.quick") for _ in range(20)]
            began = time.monotonic()
        assert time.monotonic() - began < 2
    assert [said["id"] for said in lost] == ids


def test_one_redis_away_harms_no_push_to_another(lost: list[dict[str, Any]]) -> None:
    with override_settings(JOBS={"QUEUES": {"away": {"URL": DEAD}}}):
        with transaction.atomic():
            first = push_job("test.quick", queue="away")
            push_job("test.quick")
            second = push_job("test.quick", queue="away")
        assert waiting() == 1
    assert [said["id"] for said in lost] == [first, second]


def test_a_spoiled_queue_harms_no_push_to_another(
    client: "Redis[bytes]", lost: list[dict[str, Any]]
) -> None:
    client.set("jobs:spoiled:active", "not a list")
    with transaction.atomic():
        spoiled = push_job("test.quick", queue="spoiled")
        push_job("test.quick")
    assert waiting() == 1
    assert [said["id"] for said in lost] == [spoiled]


def test_a_redis_that_is_back_gets_the_pushes_of_the_next_commit(
    tmp_path: Path, lost: list[dict[str, Any]]
) -> None:
    port = free_port()
    with override_settings(JOBS={"URL": f"redis://127.0.0.1:{port}/0"}):
        with transaction.atomic():
            push_job("test.quick")
        server = start_redis(port, str(tmp_path))
        try:
            with transaction.atomic():
                push_job("test.quick")
            assert waiting() == len(lost) == 1
        finally:
            server.terminate()
            server.wait(10)
