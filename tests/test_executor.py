"""Runs and their outcomes, without Redis."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from django_jobs.exceptions import Fail, JobTimeout, LeaseLost
from django_jobs.executor import Executor
from django_jobs.handlers import Handler
from django_jobs.job import Claimed
from django_jobs.outcome import Outcome, Policy
from tests.conftest import wait_until

ROW = [1, b"test", b"{}", b"1", b"1", b"1", None, b"id"]


class Bench:
    """An executor, and what it said."""

    def __init__(self, concurrency: int = 1) -> None:
        self.outcomes: list[tuple[Claimed, Outcome]] = []
        self.executor = Executor(
            concurrency,
            lambda queue: Policy(backoff=0),
            started=lambda claimed, deadline: None,
            done=lambda claimed, outcome: self.outcomes.append((claimed, outcome)),
            progress=lambda job, fraction, text: None,
        )

    def run(self, function: Any) -> Claimed:
        claimed = Claimed("default", list(ROW), 1)
        self.executor.submit(claimed, Handler("test", function))
        return claimed

    def outcome_of(self, function: Any) -> Outcome:
        before = len(self.outcomes)
        self.run(function)
        wait_until(lambda: len(self.outcomes) > before)
        return self.outcomes[-1][1]


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()


def spin(count: int) -> None:
    """Spend some bytecodes."""
    for _ in range(count):
        pass


def test_what_a_run_raises_decides_its_outcome(bench: Bench) -> None:
    def fail(job: Any) -> None:
        raise Fail("no")

    def leave(job: Any) -> None:
        raise SystemExit(3)

    async def sleep(job: Any) -> None:
        await asyncio.sleep(0)

    assert bench.outcome_of(lambda job: None).kind == "succeeded"
    assert bench.outcome_of(sleep).kind == "succeeded"
    assert bench.outcome_of(fail).kind == "failed"
    assert bench.outcome_of(leave).kind == "retry"


class Interrupted(Claimed):
    """A job whose timeout comes in the moment when its outcome is being decided."""

    executor: Executor
    error: type[BaseException]
    has_run = False

    @property
    def max_attempts(self) -> int:  # type: ignore[override]
        if self.has_run:
            self.executor.interrupt(self, self.error)
        return 5

    @max_attempts.setter
    def max_attempts(self, value: int) -> None:
        assert value == 5


@pytest.mark.parametrize("error", [JobTimeout, LeaseLost])
def test_an_interrupt_that_comes_late_ends_no_thread(
    bench: Bench, error: type[BaseException]
) -> None:
    def broken(job: Any) -> None:
        late.has_run = True
        raise ValueError("no")

    late = Interrupted("default", list(ROW), 1)
    late.executor, late.error = bench.executor, error
    bench.executor.submit(late, Handler("test", broken))
    wait_until(lambda: len(bench.outcomes) == 1)
    assert isinstance(bench.outcomes[0][1].error, ValueError)
    assert bench.outcome_of(lambda job: None).kind == "succeeded"


@pytest.mark.parametrize("error, kind", [(JobTimeout, "retry"), (LeaseLost, "lost")])
def test_an_interrupt_is_raised_in_the_run(
    bench: Bench, error: type[BaseException], kind: str
) -> None:
    began = threading.Event()

    def endless(job: Any) -> None:
        began.set()
        while True:
            spin(1000)

    async def endless_async(job: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    for function in (endless, endless_async):
        began.clear()
        claimed, before = bench.run(function), len(bench.outcomes)
        assert began.wait(10)
        bench.executor.interrupt(claimed, error)
        wait_until(lambda seen=before: len(bench.outcomes) > seen)  # type: ignore[misc]
        assert bench.outcomes[-1][1].kind == kind


def test_a_job_that_was_lost_before_it_began_does_not_run(bench: Bench) -> None:
    ran, gate = [], threading.Event()
    bench.run(lambda job: gate.wait(10))
    lost = bench.run(lambda job: ran.append(True))
    lost.lost = True
    gate.set()
    wait_until(lambda: len(bench.outcomes) == 2)
    assert bench.outcomes[1][1].kind == "lost"

    async def never(job: Any) -> None:
        ran.append(True)

    late = Claimed("default", list(ROW), 1)
    late.lost = True
    bench.executor.submit(late, Handler("test", never))
    wait_until(lambda: len(bench.outcomes) == 3)
    assert bench.outcomes[2][1].kind == "lost"
    assert ran == []
