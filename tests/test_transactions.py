"""A job is pushed when its transaction commits: once, never before, and never otherwise."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.test import AsyncClient, Client, override_settings

from django_jobs import get_queue, push_job, push_jobs
from django_jobs.exceptions import PushError
from django_jobs.signals import job_pushed
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
