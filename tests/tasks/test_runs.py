"""Runs of tasks by real workers: what a TaskResult says of success, failure, retry, crash, timeout."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from django_jobs import get_queue, handlers
from django_jobs.exceptions import UnknownHandler, WorkerLost
from django_jobs.failure import Failure
from django_jobs.line import run
from django_jobs.queue import Queue
from django_jobs.settling import tell_recovered
from django_jobs.solo import Solo
from django_jobs.task_backend import running
from tests.conftest import Runjobs
from tests.tasks import work
from tests.tasks.conftest import FRAMEWORK, Heard, finished, run_jobs

pytestmark = pytest.mark.usefixtures("client")


def test_workers_run_tasks(runjobs: Runjobs, tmp_path: Path) -> None:
    runjobs("--processes", "2")
    results = [
        work.echo.enqueue(1, two="é"),
        work.send.enqueue("you"),
        work.echo_async.enqueue({"a": []}),
        work.context_async.enqueue(),
    ]
    values = [finished(result).return_value for result in results]
    assert values == [
        [[1], {"two": "é"}],
        "sent to you",
        [{"a": []}, True],
        [1, results[3].id, results[3].worker_ids],
    ]
    for result in results:
        assert (result.status.value, result.attempts, result.errors) == ("SUCCESSFUL", 1, [])
        assert result.worker_ids[0]
        times = (result.enqueued_at, result.started_at, result.finished_at)
        assert list(times) == sorted(times)
        assert result.started_at == result.last_attempted_at


def test_an_exception_fails_a_task_at_once(runjobs: Runjobs) -> None:
    runjobs()
    for task, error in (
        (work.fails, ValueError("no such order")),
        (work.leaves, SystemExit("left")),
    ):
        result = finished(task.enqueue())
        assert (result.status.value, result.attempts) == ("FAILED", 1)
        assert result.errors[0].exception_class is type(error)
        assert result.errors[0].traceback.endswith(f"{type(error).__name__}: {error}\n")
        with pytest.raises(ValueError, match="Task failed"):
            _ = result.return_value


def test_a_retry_shows_each_attempt(runjobs: Runjobs) -> None:
    runjobs()
    result = finished(work.busy.enqueue(3))
    attempt, workers, errors, started = result.return_value
    assert (attempt, result.attempts, errors) == (4, 4, 3)
    assert workers == result.worker_ids
    assert [error.exception_class for error in result.errors] == [work.Busy] * 3
    assert ["attempt 1" in result.errors[0].traceback, "attempt 3" in result.errors[2].traceback]
    assert str(result.started_at) == started
    assert result.enqueued_at <= result.started_at < result.last_attempted_at <= result.finished_at


def test_between_attempts_a_task_is_ready() -> None:
    result = work.busy.using(backoff=60).enqueue(1)
    run_jobs()
    result.refresh()
    assert (result.status.value, result.attempts, len(result.errors)) == ("READY", 1, 1)
    assert result.started_at == result.last_attempted_at is not None
    assert result.finished_at is None


def test_many_attempts_count_though_not_all_are_remembered() -> None:
    result = work.busy.using(max_attempts=20).enqueue(12)
    run_jobs()
    result.refresh()
    assert (result.attempts, result.return_value[0], len(result.errors)) == (13, 13, 8)
    assert result.errors[1].traceback.startswith("tests.tasks.work.Busy: attempt ")


def test_a_crash_is_tried_again_and_shown(runjobs: Runjobs, tmp_path: Path) -> None:
    runjobs()
    result = finished(work.dies.enqueue(str(tmp_path / "dead")), 30)
    assert (result.return_value, result.attempts) == ("alive", 2)
    assert result.errors[0].exception_class.__name__ == "WorkerLost"
    assert "SIGKILL" in result.errors[0].traceback
    assert len(set(result.worker_ids)) == 2
    assert result.started_at < result.last_attempted_at


def test_a_crash_at_the_last_attempt_fails(runjobs: Runjobs, tmp_path: Path) -> None:
    runjobs()
    result = finished(work.dies.using(max_attempts=1).enqueue(str(tmp_path / "dead")), 30)
    assert (result.status.value, result.attempts) == ("FAILED", 1)
    assert result.errors[0].exception_class.__name__ == "WorkerLost"


def test_a_timeout_fails_a_task(runjobs: Runjobs) -> None:
    runjobs()
    result = finished(work.hangs.enqueue())
    assert (result.status.value, result.attempts) == ("FAILED", 1)
    assert result.errors[0].exception_class.__name__ == "JobTimeout"
    assert result.finished_at > result.started_at


def test_what_operators_do_shows() -> None:
    queue = get_queue()
    stopped, gone = work.echo.enqueue(), work.echo.enqueue()
    queue.fail(stopped.id, "not today")
    queue.cancel(gone.id)
    stopped.refresh()
    assert (stopped.status.value, stopped.attempts) == ("FAILED", 0)
    assert stopped.errors[0].exception_class.__name__ == "JobStopped"
    assert "not today" in stopped.errors[0].traceback
    with pytest.raises(FRAMEWORK.missing):
        gone.refresh()
    assert queue.retry(stopped.id)
    run_jobs()
    stopped.refresh()
    assert (stopped.status.value, stopped.attempts) == ("SUCCESSFUL", 1)
    failed = work.fails.enqueue()
    run_jobs()
    assert queue.edit(failed.id, [1])
    run_jobs()
    with pytest.raises(FRAMEWORK.missing, match="The payload of a task"):
        failed.refresh()


@pytest.mark.parametrize("what", ["set", "bytes", "nan", "key", "deep"])
def test_a_result_that_is_not_json_fails(what: str) -> None:
    result = work.returns.enqueue(what)
    run_jobs()
    result.refresh()
    assert result.status.value == "FAILED"
    assert result.errors[0].exception_class in (TypeError, ValueError)


def test_results_are_kept_for_a_day_or_as_long_as_options_say(client: Redis) -> None:
    result, off = work.echo.enqueue(), work.echo.using(backend="off").enqueue()
    run_jobs()
    assert 86_000 < client.ttl(f"{get_queue().root}:job:{result.id}") <= 86_400
    with pytest.raises(FRAMEWORK.missing):
        off.refresh()


# What is run, and what is not.


def test_only_a_task_of_this_backend_is_run(client: Redis) -> None:
    paths = ("tests.tasks.work.plain", "tests.tasks.work", "os.getcwd", "no.such.module", "echo")
    for path in paths:
        with pytest.raises(UnknownHandler):
            handlers.get_handler(path)
    elsewhere = f"{FRAMEWORK.base.__name__.rpartition('.')[0]}.backends.dummy.DummyBackend"
    with override_settings(TASKS={"default": {"BACKEND": elsewhere}}):
        with pytest.raises(UnknownHandler):
            handlers.get_handler("tests.tasks.work.echo")
    assert handlers.get_handler("tests.tasks.work.echo").is_async is False


def test_a_module_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_tasks.py").write_text("raise SystemExit('not here')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownHandler, match="not here"):
        handlers.get_handler("broken_tasks.work")
    assert "broken_tasks" not in sys.modules


@pytest.mark.parametrize("payload", [None, [], {"args": 1}, {"args": [], "kwargs": {}, "using": 1}])
def test_a_payload_that_is_none_of_a_task_fails_at_once(payload: Any) -> None:
    queue = get_queue()
    id = queue.push(payload, "tests.tasks.work.echo")
    run_jobs()
    record = queue.job(id)
    assert record is not None
    assert (record.state, record.attempts) == ("failed", 1)
    assert record.exception.endswith("PayloadError")


# Signals.


def test_signals_are_sent_at_each_start_and_at_the_end(heard: Heard) -> None:
    work.busy.enqueue(1)
    run_jobs()
    assert heard == [
        ("task_enqueued", "READY"),
        ("task_started", "RUNNING"),
        ("task_started", "RUNNING"),
        ("task_finished", "SUCCESSFUL"),
    ]
    del heard[:]
    for task in (work.fails, work.leaves, work.echo_async.using(backend="off")):
        task.enqueue(*[1] * (task.func is work.echo_async.func))
        run_jobs()
    assert heard[2::3] == 2 * [("task_finished", "FAILED")] + [("task_finished", "SUCCESSFUL")]


def test_the_end_by_a_crash_is_told_too(heard: Heard) -> None:
    queue, why = get_queue(), Failure.of(WorkerLost(), "w1")
    task, job = (
        work.echo.using(max_attempts=1).enqueue().id,
        queue.push(handler="x", max_attempts=1),
    )
    worker = Solo(queue.client, [queue], 15)
    for id in (task, job):
        worker.claim()
        states = run(queue.client, queue.recover([(id, 1, worker.id)], why))
        tell_recovered(queue.name, [(id, worker.id)], [state.decode() for state in states])
    assert heard == [("task_enqueued", "READY"), ("task_finished", "FAILED")]


def test_what_is_told_at_the_end_is_recorded(client: Redis) -> None:
    found: list[Any] = []

    def hear(task_result: Any, **_: Any) -> None:
        before = (task_result.status, task_result._return_value, task_result.errors)
        task_result.refresh()
        found.append((before, (task_result.status, task_result._return_value, task_result.errors)))
        raise RuntimeError("a receiver harms nobody")

    FRAMEWORK.signals.task_finished.connect(hear)
    try:
        for task in (work.echo, work.fails, work.busy.using(backoff=0)):
            task.enqueue(*[1] * (task.func is work.busy.func))
            run_jobs()
    finally:
        FRAMEWORK.signals.task_finished.disconnect(hear)
    assert len(found) == 3
    assert all(before == after for before, after in found)


def test_without_redis_a_context_knows_its_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str) -> Queue:
        raise RedisConnectionError("away")

    monkeypatch.setattr(running, "get_queue", away)
    result = work.busy.enqueue(2)
    run_jobs()
    result.refresh()
    attempt, workers, errors, _ = result.return_value
    assert (attempt, workers, errors) == (3, ["", "", result.worker_ids[2]], 0)


def test_django_logs_a_task_where_somebody_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    name = FRAMEWORK.signals.logger.name
    with caplog.at_level(logging.INFO, name):
        work.echo.enqueue()
        work.fails.enqueue()
        run_jobs()
    said = [record for record in caplog.records if record.name == name]
    assert [record.message.rpartition("=")[2] for record in said] == [
        "RUNNING",
        "SUCCESSFUL",
        "RUNNING",
        "FAILED",
    ]
    assert "no such order" in caplog.text
    assert said[-1].exc_info is not None
