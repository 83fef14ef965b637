"""The page of workers: what they do, and what they are told."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import override_settings
from redis import Redis

from django_jobs.connection import get_queue
from django_jobs.monitor import counts
from django_jobs.monitor.workers import all_workers
from django_jobs.queue import Queue
from tests.admin.pages import QUEUES, WORKERS, Web, text

pytestmark = pytest.mark.django_db


def start_worker(queue: Queue, client: Redis, id: str = "w1", **facts: Any) -> None:
    """Write what a worker says of itself."""
    about = {
        "host": "host",
        "pid": 7,
        "supervisor": 6,
        "version": "0.0.1",
        "state": "running",
        "queues": [queue.name],
        "concurrency": 4,
        "busy": 1,
        "memory": 50,
        "started": 1_700_000_000,
    }
    lease = counts.server_time(queue) + facts.pop("lease", 60_000)
    client.zadd(f"{queue.root}:workers", {id: lease})
    client.hset(f"{queue.root}:about", id, json.dumps(about | facts))


def test_workers_stand_by_their_runjobs(queue: Queue, client: Redis, web: Web) -> None:
    queue.push()
    start_worker(queue, client)
    start_worker(queue, client, "w2", pid=8, state="quiet")
    start_worker(queue, client, "w3", pid=9, supervisor=5, lease=-1000)
    found = web("view_worker").get(WORKERS).context["supervisors"]
    assert [(one.host, one.pid) for one in found] == [("host", 5), ("host", 6)]
    assert [[process.row.state for process in one.processes] for one in found] == [
        ["lost"],
        ["running", "quiet"],
    ]
    assert found[0].any == ""


def test_another_version_is_flagged(
    queue: Queue, client: Redis, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.push()
    start_worker(queue, client)
    user = web("view_worker")
    monkeypatch.setattr("django_jobs.admin.workers.__version__", "0.0.2")
    assert "Version 0.0.1; this site has 0.0.2." in text(user, WORKERS)
    monkeypatch.setattr("django_jobs.admin.workers.__version__", "0.0.1")
    assert "this site has" not in text(user, WORKERS)


def test_releases_are_shown_and_another_one_is_flagged(
    queue: Queue, client: Redis, web: Web
) -> None:
    queue.push()
    start_worker(queue, client, release="a<b")
    user = web("view_worker")
    for jobs in ({}, {"RELEASE": "a<b"}):
        with override_settings(JOBS=jobs):
            found = text(user, WORKERS).partition("Release a&lt;b")
        assert found[1]
        assert "this site has" not in found[2]
    start_worker(queue, client, "w2")
    with override_settings(JOBS={"RELEASE": "new"}):
        found = text(user, WORKERS)
    assert "Release a&lt;b; this site has new." in found
    assert "Release –; this site has new." in found


def test_what_a_worker_runs_is_for_those_who_may_see_jobs(
    queue: Queue, client: Redis, web: Web
) -> None:
    viewer, other = web("view_worker", "view_job"), web("view_worker")

    def look(job: Any) -> None:
        (worker,) = client.hvals(f"{queue.root}:processing")
        start_worker(queue, client, worker.decode())
        assert job.id in text(viewer, WORKERS)
        assert job.id not in text(other, WORKERS)

    queue.push(handler="mail")
    queue.pull(look)


@pytest.mark.parametrize("order", ["quiet", "stop"])
def test_a_worker_is_told(queue: Queue, client: Redis, web: Web, order: str) -> None:
    queue.push()
    start_worker(queue, client)
    user = web("view_worker", "stop_worker")
    assert f'value="{order}"' in text(user, WORKERS)
    user.post(WORKERS, {"order": order, "worker": "w1"})
    assert client.hget(f"{queue.root}:orders", "w1") == order.encode()
    entry = LogEntry.objects.get()
    assert (entry.object_id, order in entry.get_change_message()) == ("host:6", True)


def test_only_who_may_stop_workers_tells_them(queue: Queue, client: Redis, web: Web) -> None:
    queue.push()
    start_worker(queue, client)
    user = web("view_worker", "pause_queue")
    assert 'name="order"' not in text(user, WORKERS)
    assert user.post(WORKERS, {"order": "stop", "worker": "w1"}).status_code == 403
    other = web("view_worker", "stop_worker")
    assert other.post(WORKERS, {"order": "explode", "worker": "w1"}).status_code == 403
    answer = other.post(WORKERS, {"order": "stop", "worker": "gone"}, follow=True)
    assert "This worker is gone." in answer.content.decode()
    assert not client.exists(f"{queue.root}:orders")
    assert not LogEntry.objects.exists()


def test_without_workers_the_page_says_how_to_start_one(client: Redis, web: Web) -> None:
    assert "manage.py runjobs" in text(web("view_worker"), WORKERS)


@pytest.mark.parametrize(
    "about", ["[" * 10_000, '{"host": "\\ud800", "state": "\\ud800", "queues": ["\\ud800"]}', "1"]
)
def test_odd_words_of_a_worker_break_no_page(
    queue: Queue, client: Redis, web: Web, about: str
) -> None:
    queue.push()
    start_worker(queue, client)
    client.hset(f"{queue.root}:about", "w1", about)
    assert "runjobs 0" in text(web("view_worker"), WORKERS)


def test_what_a_worker_says_is_read_once_however_many_queues_it_serves(client: Redis) -> None:
    queues = [get_queue(name) for name in ("a", "b", "c")]
    for queue in queues:
        start_worker(queue, client, queues=["a", "b", "c"], lease=1000 if queue.name == "b" else 1)
    client.hdel("jobs:a:about", "w1")
    client.delete("jobs:c:about")
    client.config_resetstat()
    (row,) = all_workers(queues)
    assert (row.queues, row.state) == (["a", "b", "c"], "running")
    assert client.info("commandstats")["cmdstat_hmget"]["calls"] == 2


def test_numbers_in_groups_of_digits_break_no_page(
    queue: Queue, client: Redis, web: Web, settings: Any
) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    queue.push()
    start_worker(queue, client, pid=12_346, supervisor=12_345)
    user = web("view_worker", "view_queue")
    html = text(user, WORKERS)
    assert "runjobs 12345 on host" in html
    assert ">12346<" in html
    assert "host:12346" in text(user, f"{QUEUES}email/change/")
