"""`@handler(atomic=True)`: what a run does in the database happens once."""

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from redis import Redis

from django_jobs import Fail, Job, get_queue, handler, push_job
from django_jobs.exceptions import OptionError
from django_jobs.middleware import wrapped
from django_jobs.outbox import once
from django_jobs.outbox.models import CompletedJob, OutboxJob
from tests.testapp.models import Note

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("client"),
]


@handler("atomic.note", atomic=True)
def note(job: Job) -> str:
    """Write a note, push a job, and fail if told to."""
    Note.objects.create(text="once")
    push_job("test.quick")
    if job.payload:
        raise Fail(job.payload)
    return "done"


def work(job: Job) -> Any:
    return wrapped(note, ())(job)


def test_a_second_run_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    job = Job("1" * 32, "default", "atomic.note", None)
    assert work(job) == "done"
    assert work(job) is None
    assert Note.objects.count() == get_queue().stats().active == 1
    assert "had run already" in caplog.text


def test_a_run_that_raises_leaves_nothing_and_may_run_again() -> None:
    job = Job("1" * 32, "default", "atomic.note", "not yet")
    with pytest.raises(Fail, match="not yet"):
        work(job)
    assert not Note.objects.exists()
    assert not CompletedJob.objects.exists()
    assert not OutboxJob.objects.exists()
    assert get_queue().stats().active == 0
    job.payload = None
    assert work(job) == "done"
    assert Note.objects.count() == 1


def test_marks_are_trimmed_when_redis_knows_their_jobs_no_more(
    monkeypatch: pytest.MonkeyPatch, client: "Redis[bytes]"
) -> None:
    monkeypatch.setattr(once, "PAGE", 2)
    failed = [push_job("test.hopeless") for _ in range(3)]
    gone = [f"{number:032x}" for number in range(5)]
    for id in failed + gone:
        CompletedJob.objects.create(id=id, queue="default")
    assert once.trim("default") == 0
    CompletedJob.objects.update(completed_at=F("completed_at") - timedelta(days=2))
    CompletedJob.objects.create(id="f" * 32, queue="default")
    assert once.trim("default") == 5
    assert set(CompletedJob.objects.values_list("pk", flat=True)) == {*failed, "f" * 32}


def test_an_async_handler_cannot_be_atomic() -> None:
    with pytest.raises(OptionError, match=r"atomic\.async.*sync code only"):

        @handler("atomic.async", atomic=True)
        async def never(job: Job) -> None:
            """Is refused."""


def test_without_the_outbox_it_is_refused_and_a_check_says_so() -> None:
    script = """
import django; django.setup()
from django.core.checks import run_checks
from django_jobs import handler, Job
from django_jobs.middleware import wrapped

@handler("atomic.lost", atomic=True)
def lost(job): ...

assert [message.id for message in run_checks(tags=["jobs"])] == ["django_jobs.E007"]
try:
    wrapped(lost, ())
except Exception as error:
    print(type(error).__name__, error)
"""
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **env}, capture_output=True, text=True
    )
    assert "ImproperlyConfigured Handler 'atomic.lost' is atomic" in done.stdout, done.stderr
