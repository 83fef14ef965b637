"""JOBS["MIDDLEWARE"]: around each run, sync and async, in workers and in tests of users."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from django_jobs import Fail, Job, handler
from django_jobs.executor import Executor
from django_jobs.handlers import Handler
from django_jobs.job import Claimed
from django_jobs.middleware import wrapped
from django_jobs.outcome import Outcome, Policy
from tests.conftest import wait_until
from tests.test_executor import ROW

Run = Callable[[Job], Any]
seen: list[str] = []


def outer(run: Run) -> Run:
    def around(job: Job) -> Any:
        seen.append("outer in")
        try:
            return run(job)
        finally:
            seen.append(f"outer out in {threading.current_thread().name}")

    return around


class Inner:
    """As Django's: made once, called for each job."""

    async_capable = True

    def __init__(self, run: Run) -> None:
        seen.append("made")
        self.run = run
        self.is_async = asyncio.iscoroutinefunction(run)

    def __call__(self, job: Job) -> Any:
        seen.append("inner")
        return self.wait(job) if self.is_async else self.run(job)

    async def wait(self, job: Job) -> Any:
        return await self.run(job)


def async_only(run: Run) -> Run:
    async def around(job: Job) -> Any:
        seen.append("async only")
        return await run(job)

    return around


async_only.sync_capable, async_only.async_capable = False, True  # type: ignore[attr-defined]


def refuse(run: Run) -> Run:
    def around(job: Job) -> None:
        raise Fail("not on Sundays")

    return around


@handler("middleware.sync")
def sync(job: Job) -> str:
    seen.append("ran")
    return "done"


@handler("middleware.async")
async def asynchronous(job: Job) -> str:
    seen.append("ran")
    return "done"


OUTER, INNER, ASYNC, REFUSE = (
    f"{__name__}.{n}" for n in ("outer", "Inner", "async_only", "refuse")
)
JOB = Job("1", "default", "middleware.sync", {})


@pytest.fixture(autouse=True)
def clean() -> None:
    seen.clear()


def test_the_first_is_outermost_and_each_is_made_once() -> None:
    run = wrapped(sync, [OUTER, INNER])
    assert seen == ["made"]
    for _ in range(2):
        assert run(JOB) == "done"
    assert seen[1:] == ["outer in", "inner", "ran", "outer out in MainThread"] * 2


def test_sync_ones_go_around_async_handlers_in_a_thread() -> None:
    assert asyncio.run(wrapped(asynchronous, [OUTER, INNER])(JOB)) == "done"
    assert seen[:4] == ["made", "outer in", "inner", "ran"]
    assert seen[4] != "outer out in MainThread"


def test_async_ones_go_around_sync_handlers() -> None:
    assert wrapped(sync, [ASYNC])(JOB) == "done"
    assert seen == ["async only", "ran"]


def test_without_middleware_nothing_is_in_between() -> None:
    assert wrapped(sync, ()) is sync.function


@pytest.mark.parametrize("of", [sync, asynchronous])
def test_what_it_raises_is_the_outcome_of_a_run(of: Handler) -> None:
    outcomes: list[Outcome] = []
    executor = Executor(
        1,
        lambda queue: Policy(),
        started=lambda claimed, deadline: None,
        done=lambda claimed, outcome: outcomes.append(outcome),
        progress=lambda job, fraction, text: None,
        middleware=[OUTER, REFUSE],
    )
    executor.submit(Claimed("default", list(ROW), 1), of)
    wait_until(lambda: outcomes)
    assert (outcomes[0].kind, str(outcomes[0].failure)) == (
        "failed",
        "django_jobs.exceptions.Fail: not on Sundays",
    )
    assert seen[0] == "outer in"
    assert "ran" not in seen


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["no.such.module"], "No module named 'no'"),
        ([f"{__name__}.nothing"], "nothing"),
        ("a.b", "not a list of names"),
    ],
)
def test_what_cannot_be_imported_is_an_error_at_start(value: Any, said: str) -> None:
    with override_settings(JOBS={"MIDDLEWARE": value}):
        (message,) = run_checks(tags=["jobs"])
    assert message.id == "django_jobs.E001"
    assert said in message.msg
