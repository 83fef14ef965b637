"""Django's own tests of tasks against this backend: from its source distribution, on a real Redis.

They are written for the two backends that come with Django. In the place of its dummy one,
which keeps what is enqueued, stands ours; of its immediate one, ours with a worker's step.
"""

import logging
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.test.runner import DiscoverRunner

from tests.conftest import free_port, start_redis

IN_MEMORY = "it changes the result that the backend has in memory"
CAN = "this backend can do what the test says it cannot"
LEFT_OUT = {
    "DummyBackendTestCase.test_refresh_result": IN_MEMORY,
    "DummyBackendTestCase.test_refresh_result_async": IN_MEMORY,
    "ImmediateBackendTestCase.test_cannot_get_result": CAN,
    "ImmediateBackendTestCase.test_cannot_pass_run_after": CAN,
    "ImmediateBackendTestCase.test_cannot_refresh_result": CAN,
}
MOST = 5  # tests that are left out
LEAST = 75  # tests: fewer would mean that they were not found


def fetch(folder: Path) -> None:
    """Put Django's tests of tasks into a folder, as its package `tasks`."""
    version = django.get_version()
    words = ("download", "--quiet", "--no-deps", "--no-binary", "django", f"django=={version}")
    subprocess.run([sys.executable, "-m", "pip", *words, "--dest", folder], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        inside = [name for name in tar.getmembers() if "/tests/tasks/" in name.name]
        tar.extractall(folder, inside, filter="data")
    (found,) = folder.glob("*/tests")
    sys.path.insert(0, str(found))


def set_up() -> None:
    """Configure Django, and put our backend in the place of its own."""
    ours = {"default": {"BACKEND": "django_jobs.task_backend.JobsBackend", "QUEUES": []}}
    settings.configure(
        INSTALLED_APPS=["django_jobs"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TASKS=ours,
        USE_TZ=True,
    )
    django.setup()
    logging.getLogger("django_jobs").setLevel(logging.CRITICAL)  # failing is what they are about
    from django.tasks.backends import dummy, immediate

    from django_jobs.task_backend import JobsBackend
    from django_jobs.testing import delete_jobs, pushed_jobs, run_jobs

    class Dummy(JobsBackend):
        @property
        def results(self) -> list[Any]:
            with ThreadPoolExecutor(1) as pool:  # some tests ask on their event loop
                jobs = pool.submit(pushed_jobs).result()
            return [self.get_result(job.id) for job in jobs]

        def clear(self) -> None:
            delete_jobs()

    class Immediate(JobsBackend):
        def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
            result = super().enqueue(task, args, kwargs)
            run_jobs()
            result.refresh()
            return result

    dummy.DummyBackend, immediate.ImmediateBackend = Dummy, Immediate


def run() -> dict[str, str]:
    """Run the tests; return what each one that did not pass said."""
    runner = DiscoverRunner(verbosity=0, interactive=False)
    runner.setup_test_environment()
    suite = runner.build_suite(["tasks"])
    databases = runner.setup_databases()
    result = unittest.TextTestRunner(stream=StringIO()).run(suite)
    runner.teardown_databases(databases)
    assert result.testsRun >= LEAST, f"only {result.testsRun} tests were found"
    assert not result.skipped, result.skipped
    print(f"{result.testsRun} tests of Django {django.get_version()}")
    found = {}
    for test, said in result.failures + result.errors:
        case = getattr(test, "test_case", test)  # of a subtest
        found[".".join(case.id().split(".")[-2:])] = said
    return found


def main() -> None:
    """Fail unless exactly those tests do not pass that are left out."""
    assert len(LEFT_OUT) <= MOST, "the list of what is left out may not grow"
    port, folder = free_port(), tempfile.mkdtemp()
    redis = start_redis(port, folder)
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    try:
        fetch(Path(folder))
        set_up()
        found = run()
    finally:
        redis.terminate()
        redis.wait(10)
    for name in LEFT_OUT.keys() - found.keys():
        print(f"{name} passes: take it off the list")
    for name in found.keys() - LEFT_OUT.keys():
        print(f"{name}\n{found[name]}")
    sys.exit(found.keys() != LEFT_OUT.keys())


if __name__ == "__main__":
    main()
