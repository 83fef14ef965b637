"""django-extensions before us in INSTALLED_APPS: it has a `runjobs` too."""

import os
import subprocess
import sys
from pathlib import Path

from redis import Redis

from django_jobs import get_queue, push_jobs


def manage(*words: str, settings: str = "tests.settings_extensions", **env: str) -> str:
    """Run a management command and return what it said, also on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "django", *words],
        env=os.environ | env | {"DJANGO_SETTINGS_MODULE": settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_checks_warn_that_runjobs_is_hidden_and_say_what_to_use() -> None:
    said = manage("check")
    assert "django_jobs.W002" in said
    assert "`manage.py runjobs` is the command of django_extensions" in said
    assert "`manage.py jobs run`" in said
    assert "--drain" not in manage("runjobs", "--help")
    assert "django_jobs.W002" not in manage("check", settings="tests.settings")


def test_jobs_run_runs_them(client: "Redis[bytes]", tmp_path: Path) -> None:
    ids = push_jobs("test.quick", [{}] * 3)
    ledger = tmp_path / "ledger"
    words = ("--drain", "--settings=tests.settings_extensions", "-v", "2")  # as with any command
    said = manage("jobs", "run", *words, LEDGER=str(ledger))
    assert "test.quick" in said
    ran = [line.split()[1] for line in ledger.read_text().splitlines()]
    assert sorted(ran) == sorted(ids)
    assert get_queue().stats().active == 0
