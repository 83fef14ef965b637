"""What the tests of tasks share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from redis import Redis

from django_jobs.caught import Caught
from django_jobs.connection import get_queue, queue_names
from django_jobs.handlers import Handler
from django_jobs.line import run_many
from django_jobs.outcome import Policy, decide, find_handler
from django_jobs.settling import Settling
from django_jobs.solo import Solo
from django_jobs.task_backend import JobsBackend
from tests.conftest import wait_until

FRAMEWORK = JobsBackend.framework
Heard = list[tuple[str, Any]]


@pytest.fixture
def heard(client: Redis) -> Iterator[Heard]:
    """The signals that were sent in this process: their names, and the statuses they came with."""
    found: Heard = []
    receivers: list[tuple[Any, Callable[..., None]]] = []
    for name in ("task_enqueued", "task_started", "task_finished"):

        def hear(task_result: Any, name: str = name, **_: Any) -> None:
            found.append((name, task_result.status.value))

        signal = getattr(FRAMEWORK.signals, name)
        signal.connect(hear)
        receivers.append((signal, hear))
    yield found
    for signal, hear in receivers:
        signal.disconnect(hear)


def run_jobs() -> None:
    """Run what is claimable, in this thread; django_jobs.testing would take a PREFIX of its own."""
    queues = {name: get_queue(name) for name in queue_names()}
    worker, settling = Solo(get_queue().client, list(queues.values()), 15), Settling(lambda _: None)
    while (claimed := worker.claim()) is not None:
        handler, result = find_handler(claimed, 0.0), None
        assert isinstance(handler, Handler)
        with Caught(Exception, SystemExit) as caught:
            job = claimed.job()
            run = async_to_sync(handler.function) if handler.is_async else handler.function
            result = run(job)
        settling.add(claimed, decide(caught.error, claimed, handler, Policy(), result))
        calls = settling.calls(queues, worker.id)
        replies = run_many(get_queue().client, [call for call, _ in calls])
        for reply, (_, apply) in zip(replies, calls, strict=True):
            apply(reply)
    worker.close()


def finished(result: Any, seconds: float = 20) -> Any:
    """Wait for the end of a task, and return its result, refreshed."""

    def over() -> bool:
        result.refresh()
        return bool(result.is_finished)

    wait_until(over, seconds)
    return result


@contextmanager
def commands(client: Redis) -> Iterator[list[str]]:
    """Count what Redis is asked meanwhile: one entry for each command that is sent."""
    found: list[str] = []
    with client.monitor() as monitor:
        yield found
        client.echo("the end")
        for said in monitor.listen():
            if "the end" in said["command"]:
                return
            if said["client_type"] != "lua":
                found.append(said["command"].split()[0])
