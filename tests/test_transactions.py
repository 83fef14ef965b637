"""A job is pushed when its transaction commits: once, never before, and never otherwise."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.test import AsyncClient, Client, override_settings
from redis import Redis

from django_jobs import get_queue, push_job, push_jobs
from django_jobs.exceptions import PushError
from django_jobs.signals import job_push_failed, job_pushed
from tests.conftest import free_port, start_redis
from tests.testapp.models import Note, Reply

DEAD = "redis://127.0.0.1:1/0"  # nobody listens there

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "third"]),
    pytest.mark.usefixtures("client"),
]


def waiting() -> int:
    """Return how many jobs were pushed."""
    return get_queue().stats().active


class Undo(Exception):
    """Makes a block roll back."""


@pytest.fixture
def lost() -> Iterator[list[dict[str, Any]]]:
    """What `job_push_failed` said."""
    heard: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        heard.append(said)

    job_push_failed.connect(hear)
    yield heard
    job_push_failed.disconnect(hear)


# One database


@pytest.mark.parametrize("durable", [False, True])
def test_a_commit_pushes_once(durable: bool) -> None:
    with transaction.atomic(durable=durable):
        id = push_job("test.quick")
        many = push_jobs("test.quick", [{}] * 3)
        assert waiting() == 0
    assert [get_queue().pull(lambda job: job.id) for _ in range(4)] == [id, *many]
    with transaction.atomic():
        Note.objects.create(text="the next commit")
    assert waiting() == 0


def test_a_rollback_pushes_nothing() -> None:
    with pytest.raises(Undo), transaction.atomic():
        push_job("test.quick")
        raise Undo
    with transaction.atomic():
        push_job("test.quick")
        transaction.set_rollback(True)
        push_job("test.quick")
    with transaction.atomic():
        Note.objects.create(text="the next commit")
    assert waiting() == 0


def test_a_savepoint_takes_its_pushes_along() -> None:
    with transaction.atomic():
        kept = [push_job("test.quick")]
        with pytest.raises(Undo), transaction.atomic():
            push_job("test.quick")
            with transaction.atomic():
                push_job("test.quick")
            raise Undo
        with transaction.atomic():
            kept.append(push_job("test.quick"))
            with transaction.atomic():
                push_job("test.quick")
                transaction.set_rollback(True)
        assert waiting() == 0
    assert [get_queue().pull(lambda job: job.id) for _ in range(waiting())] == kept


def test_an_outer_rollback_takes_the_pushes_of_inner_blocks_along() -> None:
    with pytest.raises(Undo), transaction.atomic():
        with transaction.atomic():
            push_job("test.quick")
        raise Undo
    with transaction.atomic():
        push_job("test.quick")
        with pytest.raises(Undo), transaction.atomic(savepoint=False):
            raise Undo
    assert waiting() == 0


def test_a_commit_that_the_database_refuses_pushes_nothing() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Reply.objects.create(note_id=404)
        push_job("test.quick")
    assert waiting() == 0


def test_pushed_is_told_at_the_commit() -> None:
    heard: list[str] = []

    def hear(*, id: str, **_: Any) -> None:
        heard.append(id)

    job_pushed.connect(hear)
    try:
        with transaction.atomic():
            kept = push_job("test.quick")
            with pytest.raises(Undo), transaction.atomic():
                push_job("test.quick")
                raise Undo
            assert heard == []
    finally:
        job_pushed.disconnect(hear)
    assert heard == [kept]


def test_a_commit_hook_of_the_project_pushes_at_once() -> None:
    seen = []

    def hook() -> None:
        push_job("test.quick")
        seen.append(waiting())

    with transaction.atomic():
        transaction.on_commit(hook)
        push_job("test.quick")
        transaction.on_commit(hook)
    assert seen == [1, 3]
    assert waiting() == 3
    with override_settings(JOBS={"URL": DEAD}), pytest.raises(PushError), transaction.atomic():
        transaction.on_commit(lambda: push_job("test.quick"))


# Several databases


def test_a_second_database_is_found_by_itself() -> None:
    with transaction.atomic(using="other"):
        push_job("test.quick")
        assert waiting() == 0
    assert waiting() == 1
    with pytest.raises(Undo), transaction.atomic(using="other"):
        push_job("test.quick")
        raise Undo
    assert waiting() == 1


def test_using_names_the_database_that_decides() -> None:
    with transaction.atomic(), transaction.atomic(using="other"):
        push_job("test.quick", using="other")
        transaction.set_rollback(True, using="default")
    assert waiting() == 1
    with transaction.atomic(), transaction.atomic(using="other"):
        push_job("test.quick", using="other")
        transaction.set_rollback(True, using="other")
    assert waiting() == 1
    with transaction.atomic():
        push_job("test.quick", using="other")
        assert waiting() == 2


def test_of_several_the_default_decides() -> None:
    with transaction.atomic():
        with transaction.atomic(using="other"):
            push_job("test.quick")
        assert waiting() == 0
    assert waiting() == 1


def test_several_without_the_default_are_refused_and_named() -> None:
    with transaction.atomic(using="other"), transaction.atomic(using="third"):
        with pytest.raises(ValueError, match=r"test\.quick.*other, third.*using="):
            push_job("test.quick")
        push_job("test.quick", using="third")
    assert waiting() == 1


@pytest.mark.parametrize("options", [{}, {"using": "other"}])
def test_autocommit_turned_off_by_hand_is_refused(options: Any) -> None:
    transaction.set_autocommit(False, using="other")
    try:
        with pytest.raises(PushError, match="autocommit is off on database 'other'"):
            push_job("test.quick", **options)
        push_job("test.quick", using="default")
    finally:
        transaction.rollback(using="other")
        transaction.set_autocommit(True, using="other")
    assert waiting() == 1


# Requests and migrations


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Turn ATOMIC_REQUESTS on for some databases."""

    def turn_on(*aliases: str) -> None:
        for alias in aliases:
            monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)

    return turn_on


@pytest.mark.parametrize("aliases", [["default"], ["other"], ["default", "other"]])
def test_atomic_requests_push_at_their_end(
    atomic_requests: Callable[..., None], aliases: list[str]
) -> None:
    atomic_requests(*aliases)
    visitor = Client(raise_request_exception=False)
    assert visitor.get("/place/").content == b"0"
    assert waiting() == 1
    assert visitor.get("/place/?fail").status_code == 500
    assert waiting() == 1


def test_atomic_requests_on_two_other_databases_need_using(
    atomic_requests: Callable[..., None],
) -> None:
    atomic_requests("other", "third")
    with pytest.raises(ValueError, match="other, third"):
        Client().get("/place/")
    assert Client().get("/place/?using=third").content == b"0"
    assert waiting() == 1


def test_a_request_without_a_transaction_pushes_at_once() -> None:
    assert Client().get("/place/").content == b"1"
    assert async_to_sync(AsyncClient().get)("/push-async/").content == b"2"


def test_async_code_pushes_in_the_transaction_of_its_thread() -> None:
    get = async_to_sync(AsyncClient(raise_request_exception=False).get)
    assert get("/place-async/").content == b"0"
    assert waiting() == 1
    assert get("/place-async/?fail").status_code == 500
    assert waiting() == 1


@override_settings(MIGRATION_MODULES={"testapp": "tests.testapp.pushing"})
def test_migrations_push_at_the_commit_of_their_database() -> None:
    def migrate(name: str) -> None:
        call_command("migrate", "testapp", name, database="other", verbosity=0)

    migrate("0001")
    assert waiting() == 1
    with pytest.raises(RuntimeError, match="the second operation"):
        migrate("0002")
    assert waiting() == 1
    migrate("zero")


# Redis away at the commit


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
