"""Enqueuing: what is said of a task, what it becomes in Redis, and what is refused."""

import asyncio
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from redis import Redis

from django_jobs import get_queue
from django_jobs.exceptions import OptionError, PayloadTooLarge, PushError
from django_jobs.task_backend import JobsBackend, task
from tests.settings import BACKEND_OF_TASKS
from tests.tasks import work
from tests.tasks.conftest import FRAMEWORK, Heard, commands, run_jobs

pytestmark = pytest.mark.usefixtures("client")

Invalid = FRAMEWORK.invalid
default: Any = FRAMEWORK.backends["default"]


def stored(result: Any) -> Any:
    """Return the job behind a result."""
    return get_queue(result.task.queue_name).job(result.id)


def test_a_task_is_a_job_whose_handler_is_its_path(client: Redis) -> None:
    result = work.send.enqueue("a@b.c")
    record = stored(result)
    assert (record.handler, record.queue, record.priority) == ("tests.tasks.work.send", "email", 7)
    assert record.payload == b'{"args":["a@b.c"],"kwargs":{}}'
    assert (result.status.value, result.attempts, result.args) == ("READY", 0, ["a@b.c"])
    assert work.send.get_result(result.id) == result
    assert len(result.id) <= 64


@pytest.mark.parametrize("queue", ["a", "b" * 64, "x.y-z_1"])
def test_an_id_finds_its_queue_by_itself(queue: str) -> None:
    results = [work.echo.using(queue_name=name).enqueue(name) for name in ("other", queue)]
    assert [default.get_result(result.id).args for result in results] == [["other"], [queue]]
    assert len(results[1].id) <= 64
    for id in ("123", "", "0" * 32, results[0].id[:-1], "é" * 32):
        with pytest.raises(FRAMEWORK.missing):
            default.get_result(id)


WIRE = [[], {}, [[], {}], 2**53 + 1, 2**70, -1, 1.5, "é\u2028\0", None, True, {"a": {"b": [{}]}}]


@pytest.mark.parametrize("value", WIRE, ids=repr)
def test_what_comes_back_is_what_was_sent(value: Any) -> None:
    sent = work.echo.enqueue(value, key=value)
    run_jobs()
    read = default.get_result(sent.id)
    assert sent.args == read.args == [value]
    assert sent.kwargs == read.kwargs == {"key": value}
    assert read.return_value == [[value], {"key": value}]
    assert repr(read.return_value) == repr([[value], {"key": value}])  # True is not 1


def test_a_tuple_is_a_list_at_once() -> None:
    assert work.echo.enqueue((1, (2,))).args == [[1, [2]]]


BAD = [float("nan"), float("inf"), b"x", {1}, {1: 2}, {None: 1}, datetime.now(), object()]


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_what_is_not_json_is_refused_at_enqueue(value: Any, client: Redis) -> None:
    for call in ([value], [[value]], [{"deep": (value,)}]):
        with pytest.raises(TypeError, match=r"tests\.tasks\.work\.echo"):
            work.echo.enqueue(*call)
    with pytest.raises(PayloadTooLarge):
        work.echo.enqueue("x" * 2**20)
    assert client.keys("*job*") == []


def test_many_are_enqueued_in_one_round_trip(client: Redis) -> None:
    work.echo.enqueue()
    with commands(client) as seen:
        results = work.echo.enqueue_many([[1], (2, 3), {"four": 4}, []])
    assert seen == ["EVALSHA"]
    assert [(result.args, result.kwargs) for result in results] == [
        ([1], {}),
        ([2, 3], {}),
        ([], {"four": 4}),
        ([], {}),
    ]
    assert [default.get_result(result.id) for result in results] == results
    assert work.echo.enqueue_many([]) == []
    again = asyncio.run(work.echo.aenqueue_many([[n] for n in range(450)]))
    assert len({result.id for result in again}) == 450
    with pytest.raises(Invalid, match="unique"):
        work.echo.using(unique="x").enqueue_many([[1]])


def test_options_are_said_of_a_task_or_by_using() -> None:
    late = timezone.now() + timedelta(hours=1)
    chosen = work.busy.using(
        priority=3, queue_name="q", run_after=late, max_attempts=9, timeout=2.5, unique="key"
    )
    result = chosen.enqueue(1)
    record = stored(result)
    assert (record.priority, record.queue, record.max_attempts, record.timeout) == (3, "q", 9, 2.5)
    assert (record.unique, record.state) == ("key", "scheduled")
    assert abs(record.due_at - late) < timedelta(seconds=1)
    assert result.task == default.get_result(result.id).task == chosen
    assert stored(work.busy.enqueue(1)).max_attempts == 4
    assert stored(work.echo.enqueue()).max_attempts == 5


def test_run_after_may_be_a_timedelta_from_the_push() -> None:
    chosen = work.echo.using(run_after=timedelta(minutes=10))
    result = chosen.enqueue()
    due = stored(result).due_at - timezone.now()
    assert timedelta(minutes=9, seconds=50) < due <= timedelta(minutes=10)
    assert chosen.using(run_after=timezone.now()).delay is None
    assert default.get_result(result.id).task == chosen


def test_the_same_unique_key_leads_to_the_job_that_stands() -> None:
    first, second = (work.echo.using(unique="one").enqueue(n) for n in (1, 2))
    assert get_queue().stats().active == 1
    assert default.get_result(second.id).args == [1]
    assert default.get_result(second.id).id == first.id


def test_what_a_run_needs_of_using_travels_with_the_job() -> None:
    own = work.fails.using(retry_on=(work.Busy, ValueError), backoff=work.backoff_of_two)
    result = own.using(max_attempts=3).enqueue()
    again = work.fails.using(backend="again").enqueue()
    mixed = work.fails.using(backoff=[timedelta(0), 0], retry_on=ValueError).enqueue()
    once = work.fails.enqueue()
    run_jobs()
    wait = [result, again, mixed, once]
    while get_queue().stats().scheduled:
        run_jobs()
    found = [default.get_result(one.id) for one in wait]
    assert [one.attempts for one in found] == [3, 2, 5, 1]
    assert found[0].task == result.task
    assert found[1].backend == "again"
    assert found[2].task.backoff == [0.0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"timeout": -1},
        {"backoff": -1},
        {"retry_on": (1,)},
        {"queue_name": "a b"},
        {"queue_name": "queues"},
    ],
)
def test_a_bad_option_is_refused_where_it_is_said(options: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        work.echo.using(**options)
    with pytest.raises(Invalid):
        task(**options)(work.echo.func)
    with pytest.raises(TypeError):
        work.echo.using(colour="red")


def test_a_bad_unique_key_is_refused() -> None:
    with pytest.raises(OptionError, match="unique"):
        work.echo.using(unique="").enqueue()


def test_what_no_worker_could_find_is_refused(client: Redis) -> None:
    def local() -> None: ...

    with pytest.raises(Invalid, match=r"tests\.tasks\.work\.plain is no task"):
        work.hidden.enqueue()
    with pytest.raises(Invalid, match="could not run"):
        work.fails.using(backoff=lambda attempt, error: 1).enqueue()
    with pytest.raises(Invalid, match="module level"):
        task(local)
    assert client.keys("*job*") == []


# Transactions.


@pytest.mark.django_db(transaction=True)
def test_by_default_a_task_does_not_wait_for_the_commit(heard: Heard) -> None:
    with transaction.atomic():
        work.echo.enqueue()
        assert get_queue().stats().active == 1
        assert heard == [("task_enqueued", "READY")]
    assert get_queue().stats().active == 1


@pytest.mark.django_db(transaction=True)
def test_on_commit_it_does(heard: Heard) -> None:
    careful = work.echo.using(backend="commit")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        careful.enqueue()
        raise ZeroDivisionError
    assert get_queue().stats().active == 0
    with transaction.atomic():
        result = careful.enqueue(1)
        many = careful.enqueue_many([[2], [3]])
        with pytest.raises(FRAMEWORK.missing):
            result.refresh()
        assert heard == []
    assert get_queue().stats().active == 3
    assert heard == 3 * [("task_enqueued", "READY")]
    assert [default.get_result(one.id) for one in (result, *many)] == [result, *many]
    assert careful.enqueue(4).args == [4]

    async def enqueue() -> None:
        assert (await careful.aenqueue(5)).args == [5]
        with pytest.raises(PushError, match="aenqueue"):
            careful.enqueue(6)

    asyncio.run(enqueue())
    assert get_queue().stats().active == 5


# Settings.


def test_bad_options_and_queues_are_named_by_the_check() -> None:
    assert default.check() == []
    options = {"RESULT_TTL": -1, "COLOUR": 1, "ENQUEUE_ON_COMMIT": "no"}
    bad = JobsBackend("bad", {"QUEUES": ["a b"], "OPTIONS": options})
    found = [message.msg for message in bad.check()]
    assert [text.split(":")[0] for text in found] == 3 * ["TASKS['bad'], OPTIONS"] + [
        "TASKS['bad'], QUEUES"
    ]
    assert ["COLOUR" in found[0], "ENQUEUE_ON_COMMIT" in found[1], "result_ttl" in found[2]] == [
        True
    ] * 3
    lost = {"RETRY_ON": ["no.such.Error"]}
    assert "no" in JobsBackend("bad", {"OPTIONS": lost}).check()[0].msg
    with pytest.raises(ImproperlyConfigured, match="COLOUR"):
        bad.enqueue(work.echo, (), {})


def test_making_a_backend_asks_nobody(client: Redis) -> None:
    with (
        override_settings(JOBS={"URL": "redis://127.0.0.1:1/0"}),
        override_settings(TASKS={"default": {"BACKEND": BACKEND_OF_TASKS, "QUEUES": []}}),
    ):
        made = task(work.echo.func)
        assert made.get_backend().supports_defer
        with pytest.raises(PushError):
            made.enqueue()


def test_threads_have_backends_and_share_connections(client: Redis) -> None:
    work.echo.enqueue()
    before, backends = len(client.client_list()), set()

    def enqueue() -> None:
        backends.add(id(FRAMEWORK.backends["default"]))
        work.echo.enqueue()

    for _ in range(5):
        thread = threading.Thread(target=enqueue)
        thread.start()
        thread.join()
    assert id(default) not in backends
    assert len(client.client_list()) == before


def test_results_stay_readable_when_settings_change() -> None:
    result = work.echo.using(backend="off", priority=5, run_after=timedelta(0)).enqueue(1)
    other = work.send.using(priority=50).enqueue("you")
    with override_settings(
        TASKS={"default": {"BACKEND": BACKEND_OF_TASKS, "QUEUES": ["elsewhere"]}}
    ):
        backend = FRAMEWORK.backends["default"]
        read = backend.get_result(result.id)
        assert (read.backend, read.task.priority, read.args) == ("off", 5, [1])
        assert backend.get_result(other.id).task == other.task


IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules["django.tasks"] = sys.modules["django_tasks"] = None  # there are none
import django
from django.conf import settings
apps = [f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")]
settings.configure(INSTALLED_APPS=[*apps, "django_jobs", "django_jobs.outbox"])
django.setup()
import django_jobs
for module in pkgutil.walk_packages(django_jobs.__path__, "django_jobs."):
    if not module.name.startswith("django_jobs.task_backend"):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_nothing_but_the_backend_needs_tasks() -> None:
    """As on Django 5.2 without django-tasks."""
    words = [sys.executable, "-c", IMPORT_ALL]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "django_jobs.outbox.relay" in ran.stdout
