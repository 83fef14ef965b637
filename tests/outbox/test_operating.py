"""What operators see of the outbox: the command, the check, the admin, tests of projects."""

import json
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import F
from django.test import Client, override_settings
from redis import Redis

from django_jobs import get_queue, push_job
from django_jobs.admin import live
from django_jobs.outbox.models import OutboxJob
from tests.outbox.test_pushes import AWAY, DEAD

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "third"]),
    pytest.mark.usefixtures("client"),
]


def save(number: int, minutes: int = 0, **options: Any) -> None:
    """Save jobs without Redis, some minutes ago."""
    with AWAY:
        for _ in range(number):
            push_job("test.quick", **options)
    alias = options.get("using", "default")
    OutboxJob.objects.using(alias).update(created_at=F("created_at") - timedelta(minutes=minutes))


def jobs(*words: str) -> str:
    out = StringIO()
    call_command("jobs", "outbox", *words, stdout=out)
    return out.getvalue()


def test_the_command_shows_and_relays() -> None:
    assert jobs() == "No job waits in the outbox.\n"
    save(2, minutes=3)
    save(1, minutes=100, queue="email", using="other")
    lines = [line.split() for line in jobs().splitlines()]
    assert lines == [
        ["database", "queue", "jobs", "oldest"],
        ["default", "default", "2", "3m"],
        ["other", "email", "1", "100m"],
    ]
    (first, _) = json.loads(jobs("--json"))
    assert (first["database"], first["queue"], first["count"]) == ("default", "default", 2)
    assert 180 <= first["seconds"] < 240
    with AWAY, pytest.raises(CommandError, match=r"Some stay in the outbox.*refused"):
        jobs("relay")
    assert jobs("relay") == "3 jobs relayed.\n"
    assert json.loads(jobs("relay", "--json")) == {"relayed": 0}
    assert (get_queue().stats().active, get_queue("email").stats().active) == (2, 1)


def test_without_the_app_the_command_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "django", "jobs", "outbox", "--settings=tests.settings"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert 'INSTALLED_APPS += ["django_jobs.outbox"]' in done.stderr


def test_w006_names_databases_without_the_table() -> None:
    def found() -> list[str]:
        messages = run_checks(tags=["database"], databases=["default", "other"])
        return [message.msg for message in messages if message.id == "django_jobs.W007"]

    assert found() == []
    call_command("migrate", "django_jobs_outbox", "zero", database="other", verbosity=0)
    try:
        (message,) = found()
        assert "Database 'other' has no outbox" in message
        with connections["other"].cursor() as cursor:  # as new as can be
            cursor.execute("ALTER TABLE django_migrations RENAME TO migrations")
        assert found() == []
    finally:
        with connections["other"].cursor() as cursor:
            cursor.execute("ALTER TABLE migrations RENAME TO django_migrations")
        call_command("migrate", "django_jobs_outbox", database="other", verbosity=0)


def test_the_admin_says_how_many_wait_and_for_how_long(client: "Redis[bytes]") -> None:
    get_queue().push()
    web = Client()
    web.force_login(User.objects.create_superuser("ann"))

    def page(queue: str = "") -> str:
        live._last.clear()
        return web.get(f"/admin/django_jobs/jobqueue/{queue}").content.decode()

    assert "outbox" not in page()
    save(2)
    assert "outbox" not in page(), "they are fresh"
    save(0, minutes=3)
    said = "2 jobs wait in the outbox until Redis takes them, the first for 3 min now."
    assert said in page()
    assert said in page("default/change/")
    get_queue("email").push()
    assert "outbox" not in page("email/change/")


def test_a_fallback_that_is_no_boolean_is_an_error() -> None:
    with override_settings(JOBS={"URL": DEAD, "OUTBOX_FALLBACK": "yes"}):
        (message,) = run_checks(tags=["jobs"])
    assert message.msg == "JOBS: OUTBOX_FALLBACK: 'yes' is neither True nor False."


def test_the_tests_of_a_project_pass() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "django", "test", "--settings=tests.outbox.settings"),
            *("tests.project_tests", "tests.outbox.project_tests"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 0 tests" not in done.stderr
