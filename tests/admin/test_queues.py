"""The overview, the page of one queue, and the handlers."""

import re
from typing import Any

import pytest
from redis import Redis

from django_jobs.admin import live
from django_jobs.admin.attention import notes
from django_jobs.connection import get_queue
from django_jobs.monitor import counts
from django_jobs.monitor.servers import Server
from django_jobs.queue import Queue
from tests.admin.pages import JOBS, QUEUES, WORKERS, Web, fail, text
from tests.admin.test_workers import start_worker

pytestmark = pytest.mark.django_db


def count(queue: Queue, client: Redis, ago: int, runs: int, failures: int) -> None:
    """Write what workers counted some minutes ago."""
    minute = int(counts.server_time(queue) // 60_000) - ago
    fields = {"runs": runs, "failures": failures}
    client.hset(f"{queue.root}:minute:{minute}", mapping=fields)


def said(*queues: Queue) -> list[str]:
    return [note.text for note in notes(live.take({queue.name: queue for queue in queues}))]


def test_texts_of_the_page_are_those_of_the_poll(
    queue: Queue, client: Redis, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FRESH", 60)
    fail(queue)
    queue.push()
    count(queue, client, 3, 20, 5)
    user = web("view_queue")
    for page, poll in ((QUEUES, "live/"), (f"{QUEUES}email/change/", "live/?queue=email")):
        html, found = text(user, page), user.get(f"{QUEUES}{poll}").json()
        shown = dict(re.findall(r'data-jobs-text="([^"]+)">([^<]*)<', html))
        assert shown["failed"] == "1"
        assert shown.items() <= found["text"].items()
        paths = dict(re.findall(r'data-jobs-path="([^"]+)" d="([^"]*)"', html))
        assert paths["bad"].startswith("M")
        assert paths.items() <= found["paths"].items()
        assert f'data-jobs-shape="{found["shape"]}"' in html
    assert user.get(f"{QUEUES}live/?queue=none").status_code == 404


def test_the_poll_looks_at_redis_once_a_second(
    queue: Queue, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, taken, take = web("view_queue"), [], live.take

    def counted(known: Any) -> Any:
        taken.append(1)
        return take(known)

    queue.push()
    monkeypatch.setattr(live, "take", counted)
    monkeypatch.setattr(live, "FRESH", 60)
    for _ in range(5):
        user.get(f"{QUEUES}live/")
    assert len(taken) == 1
    get_queue("new").push()
    assert "new:waiting" in user.get(f"{QUEUES}live/").json()["text"]


def test_a_page_that_has_other_parts_by_now_has_to_be_loaded_again(queue: Queue, web: Web) -> None:
    queue.push()
    user = web("view_queue", "pause_queue")
    before = user.get(f"{QUEUES}live/").json()["shape"]
    user.post(QUEUES, {"pause": "email"})
    text(user, QUEUES)
    assert user.get(f"{QUEUES}live/").json()["shape"] != before


def test_jobs_without_a_worker_need_attention(queue: Queue, client: Redis) -> None:
    queue.push()
    assert said(queue) == ["Queue email has no worker: 1 job waits."]
    start_worker(queue, client)
    assert said(queue) == []
    queue.pause()
    assert said(queue) == []


def test_a_queue_that_is_behind_needs_attention(queue: Queue, client: Redis) -> None:
    id = queue.push()
    start_worker(queue, client)
    client.hset(f"{queue.root}:job:{id}", "enqueued_at", int(counts.server_time(queue)) - 400_000)
    assert said(queue) == ["Queue email is behind: its next job has waited for 7 min (1 waiting)."]
    queue.pause()
    assert said(queue) == []


def test_more_failures_than_usual_need_attention(queue: Queue, client: Redis) -> None:
    queue.push()
    start_worker(queue, client)
    for ago in range(10, 60):
        count(queue, client, ago, 50, 1)
    count(queue, client, 5, 50, 29)
    assert said(queue) == []
    count(queue, client, 1, 50, 1)
    assert said(queue) == [
        "Runs fail more often: 30 in the last 10 minutes, 10 in a usual 10.",
    ]


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Server("Redis", "8", 90, 100, "noeviction"), ["almost full"]),
        (Server("Redis", "8", 70, 100, "allkeys-lru"), ["allkeys-lru"]),
        (Server("Redis", "8", 900, 0, "noeviction"), []),
    ],
)
def test_a_redis_that_may_lose_or_refuse_jobs_needs_attention(
    server: Server, words: list[str]
) -> None:
    found = notes(live.Snapshot([], [], [server]))
    assert len(found) == len(words)
    assert all(word in note.text for word, note in zip(words, found, strict=True))


def test_the_page_of_a_queue_shows_who_is_next(queue: Queue, client: Redis, web: Web) -> None:
    first = queue.push(handler="mail")
    start_worker(queue, client)
    user = web("view_queue", "view_job", "view_worker")
    html = text(user, f"{QUEUES}email/change/")
    assert f"email_3A{first}" in html
    assert "host:7" in html
    few = text(web("view_queue"), f"{QUEUES}email/change/")
    assert first not in few
    assert "host:7" not in few


def test_pause_from_the_page_of_a_queue(queue: Queue, web: Web) -> None:
    queue.push()
    user, url = web("view_queue", "pause_queue"), f"{QUEUES}email/change/"
    user.post(url, {"pause": "email"})
    assert queue.stats().paused
    assert ">Paused<" in text(user, url)


def test_an_unknown_queue_leads_to_the_list(client: Redis, web: Web) -> None:
    user = web("view_queue")
    for name in ("none", "a b", "queues", "_3Cscript_3E"):
        assert user.get(f"{QUEUES}{name}/change/")["Location"] == QUEUES


def test_links_are_for_those_who_may_follow_them(queue: Queue, web: Web) -> None:
    queue.push()
    some = text(web("view_queue"), QUEUES).split('id="content-main"')[1]
    assert JOBS not in some and WORKERS not in some
    more = text(web("view_queue", "view_job", "view_worker"), QUEUES)
    assert f"{JOBS}?state=failed" in more and f'href="{WORKERS}"' in more


def test_handlers_by_the_time_they_took(queue: Queue, client: Redis, web: Web) -> None:
    queue.push()
    now = counts.server_time(queue)
    fields = {"a runs": 10, "a failures": 1, "a took:20": 10, "a wait:10": 9, "b runs": 1}
    fields["a took"] = 9
    client.hset(f"{queue.root}:minute:{int(now // 60_000)}", mapping=fields)
    client.hset(f"{queue.root}:hour:{int(now // 3_600_000) - 5}", mapping={"old runs": 1})
    user = web("view_queue")
    rows = user.get(f"{QUEUES}handlers/").context["rows"]
    assert [(row["stats"].handler, row["stats"].runs) for row in rows] == [("a", 10), ("b", 1)]
    assert rows[0]["took"][0] == pytest.approx(0.75, abs=0.01)
    assert 0.5 < rows[0]["waited"][0] < 1.1
    rows = user.get(f"{QUEUES}handlers/?time=day").context["rows"]
    assert [row["stats"].handler for row in rows] == ["old"]
    assert "Nothing ran" not in text(user, f"{QUEUES}handlers/?time=nonsense")


def test_odd_counts_break_no_page(queue: Queue, client: Redis, web: Web) -> None:
    queue.push()
    minute = int(counts.server_time(queue) // 60_000)
    odd = dict.fromkeys(["a took:x", "a took:99999", "a took:²", "a what:3", "odd"], 1)
    client.hset(f"{queue.root}:minute:{minute}", mapping={**odd, "a runs": 2, "runs": "x"})
    user = web("view_queue")
    (row,) = user.get(f"{QUEUES}handlers/").context["rows"]
    assert (row["stats"].runs, row["took"]) == (2, [0.0, 0.0])
    assert user.get(QUEUES).status_code == 200
