"""What a project does with one Redis it does with Sentinels and a cluster: only the URL differs."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from django_jobs import await_for, get_queue, push_job, push_jobs, result_of, wait_for
from django_jobs.batches import get_batch, push_batch
from django_jobs.invariants import check
from tests.admin.pages import JOBS, QUEUES, WORKERS, fail, page_of, state, text
from tests.admin.test_bulk import confirm, finish
from tests.clusters.conftest import Work
from tests.clusters.topology import Cluster, Sentinels
from tests.conftest import wait_until
from tests.processes import ran

NAMES = ("a", "b", "c", "default", "email")


Place = Sentinels | Cluster


@pytest.fixture(scope="module", params=["sentinel", "cluster"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Where the jobs are."""
    folder = tmp_path_factory.mktemp("redis") / request.param
    place = Sentinels(folder) if request.param == "sentinel" else Cluster(folder, replicas=False)
    yield place
    place.end()


@pytest.fixture(autouse=True)
def project(place: Place, settings: Any) -> str:
    """A project whose jobs are there, none so far."""
    settings.JOBS = {"URL": place.url, "LEASE": 5}
    for server in place.masters():
        server.client.flushall()
    return place.url


def jobs(*words: str) -> Any:
    """Return what the command says."""
    out = io.StringIO()
    call_command("jobs", *words, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def test_jobs_of_every_queue_run_and_are_waited_for(project: str, work: Work, ledger: Path) -> None:
    tree = work(project, "--concurrency", "4")
    ids = [push_job("test.quick", queue=name) for name in NAMES]
    wait_until(lambda: set(ids) <= set(ran(ledger)), 20)
    ids = push_jobs("test.quick", range(500), queue="late")  # nobody knew of it
    wait_until(lambda: set(ids) <= set(ran(ledger)), 20)
    first, second = push_job("test.add", [1, 2], queue="b"), push_job("test.add_async", [3, 4])
    assert result_of(wait_for(first, 20, queue="b"))["sum"] == 3
    assert result_of(asyncio.run(await_for(second, 20))) == 7
    batch = push_batch([("test.quick", n) for n in range(10)], on_success="test.quick", queue="c")
    wait_until(lambda: (found := get_batch(batch, "c")) and found.succeeded == 10)
    wait_until(lambda: get_queue("c").stats().active == 0)
    assert [check(get_queue(name)) for name in (*NAMES, "late")] == [[]] * 6
    assert tree.poll() is None


def test_a_waiting_job_runs_as_soon_as_it_is_pushed(project: str, work: Work, ledger: Path) -> None:
    work(project, "--queues", ",".join(NAMES))
    wait_until(lambda: jobs("workers"), 20)
    for name in NAMES * 4:
        id = push_job("test.quick", queue=name)
        wait_until(lambda id=id: id in ran(ledger), 2)  # without a hint it takes up to 5 s


def test_the_tests_of_projects_pass_there(place: Place) -> None:
    for project in ("tests", "tests.outbox"):
        words = [f"--settings={project}.settings", f"{project}.project_tests"]
        done = subprocess.run(
            [sys.executable, "-m", "django", "test", *words],
            env={**os.environ, "REDIS_URL": place.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Ran 0 tests" not in done.stderr
    left = [key for server in place.masters() for key in server.client.keys("jobs-test-*")]
    assert left == []


@pytest.mark.django_db
def test_operators_see_and_move_jobs() -> None:
    queues = [get_queue(name) for name in ("a", "b", "c")]
    failed = [fail(queue) for queue in queues for _ in range(3)]
    assert jobs("stats")["b"]["failed"] == 3
    jobs("check")
    web = Client()
    web.force_login(User.objects.create_superuser("root"))
    for page in (QUEUES, JOBS, WORKERS, page_of(queues[0], failed[0])):
        assert text(web, page)
    assert finish(web, confirm(web))["over"]
    assert [queue.stats().active for queue in queues] == [3, 3, 3]
    jobs("cancel", "--queue", "c", "--all", "--yes")
    assert [queue.stats().active for queue in queues] == [3, 3, 0]
    assert state(queues[1], failed[4]) == "active"
    assert [check(queue) for queue in queues] == [[], [], []]
