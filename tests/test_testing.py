"""`django_jobs.testing`, as projects use it; in a process of its own, for its prefix."""

import os
import re
import subprocess
import sys

import pytest

from tests.commands import ROOT

PROJECT = ROOT / "tests" / "project"
DJANGO = ["-m", "django", "test"]
PYTEST = [
    *("-m", "pytest", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"),
    *("-o", "python_files=tests.py test_*.py", "-p", "pytest_django.plugin"),
    *("-p", "django_jobs.pytest_plugin"),  # by its name, for the tree may not be installed
]

SCRIPT = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import setup_databases
setup_databases(verbosity=0, interactive=False)
from django_jobs import push_job, get_queue
from django_jobs.testing import make_job, pushed_jobs, run_jobs
from tests.testapp.jobs import note
from tests.testapp.models import Note

with transaction.atomic():
    push_job(note, {"text": "one"})
    push_job("test.hopeless")
    push_job("test.note_async", {"text": "async"})
    push_job("test.quick", delay=60)
    assert [record.handler for record in pushed_jobs()] == [
        "test.note", "test.hopeless", "test.note_async", "test.quick"]
    assert len(pushed_jobs(note)) == 1
    assert run_jobs() == 3
    assert Note.objects.count() == 2
    transaction.set_rollback(True)
assert Note.objects.count() == 0
assert get_queue().stats().failed == 1
note(make_job(note, {"text": "direct"}))
assert Note.objects.get().text == "direct"
assert get_queue().root.startswith("jobs-test-")
print("prefix", get_queue().root.split(":")[0])
"""


def test_jobs_run_in_the_test_and_leave_no_keys(client) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    prefix = done.stdout.split()[-1]
    assert prefix.startswith("jobs-test-")
    assert client.keys(f"{prefix}:*") == []


def test_the_tests_of_a_project_pass(client) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "django",
            "test",
            "--settings=tests.settings",
            "tests.project_tests",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 0 tests" not in done.stderr
    assert client.keys("jobs-test-*") == []


def test_a_process_that_used_no_redis_asks_none_at_its_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import django_jobs.testing"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("url", ["embedded://", ""], ids=["embedded", "redis"])
@pytest.mark.parametrize(
    ("words", "tests"),
    [
        (DJANGO, 16),
        ([*DJANGO, "--parallel", "2"], 16),
        (PYTEST, 23),
        ([*PYTEST, "-p", "xdist.plugin", "-n", "2"], 23),
    ],
    ids=["django", "parallel", "pytest", "xdist"],
)
def test_a_project_tests_with_any_runner_and_no_set_up(
    client, words: list[str], tests: int, url: str
) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=PROJECT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "settings",
            "SHOP_REDIS": url or os.environ["REDIS_URL"],
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"(Ran {tests} tests|{tests} passed)", done.stderr + done.stdout)
    assert client.keys() == []
