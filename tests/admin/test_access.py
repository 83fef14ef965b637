"""The admin's pages: who may see and do what, and what happens without Redis."""

import io
import os
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from redis import Redis

from django_jobs import bulk
from django_jobs.connection import get_queue
from django_jobs.monitor import pages
from django_jobs.monitor.shown import Reader
from django_jobs.queue import Queue
from django_jobs.redact import Redactor
from tests.admin.pages import JOBS, QUEUES, SCHEDULES, WORKERS, Web, fail, page_of, state, text

pytestmark = pytest.mark.django_db


def every_page(queue: Queue, id: str) -> list[str]:
    """Return the addresses of all pages; there is a bulk retry of the queue's jobs."""
    work = bulk.of_failed("retry", pages.failed([queue]))
    bulk.save(queue, work)
    job_pages = [page_of(queue, id, name) for name in ("change", "edit", "history")]
    bulk_page = f"{JOBS}bulk/email/{work.id}/"
    queue_pages = [f"{QUEUES}{name}" for name in ("", "live/", "handlers/", "email/change/")]
    schedule_pages = [SCHEDULES, f"{SCHEDULES}email_3Anightly/change/"]
    return [*queue_pages, WORKERS, *schedule_pages, JOBS, f"{JOBS}live/", bulk_page, *job_pages]


FORGED = [
    {"action": "retry"},
    {"action": "discard"},
    {"action": "cancel"},
    {"action": "fail"},
    {"action": "retry-all", "until": "9e15"},
    {"action": "discard-all", "until": "9e15"},
    {"pause": "email"},
    {"empty": "yes", "confirmed": "yes"},
    {"payload": "{}"},
    {"order": "stop", "worker": "w"},
    {"action": "run", "schedule": "email:nightly"},
    {"action": "pause", "schedule": "email:nightly"},
    {},
]


def test_anonymous_users_are_asked_to_log_in(queue: Queue) -> None:
    id = fail(queue)
    for url in every_page(queue, id):
        for answer in (Client().get(url), Client().post(url, {"action": "discard"})):
            assert answer.status_code == 302
            assert "/admin/login/" in answer["Location"]
    assert state(queue, id) == "failed"


@pytest.mark.parametrize("codenames", [(), ("view_worker", "retry_job", "pause_queue")])
def test_without_the_view_permission_every_page_is_refused(
    queue: Queue, web: Web, codenames: tuple[str, ...]
) -> None:
    id, user = fail(queue), web(*codenames)
    for url in every_page(queue, id):
        if url == WORKERS and "view_worker" in codenames:
            continue
        assert user.get(url).status_code == 403
        for data in FORGED:
            assert user.post(url, {**data, "job": f"email:{id}"}).status_code == 403
    assert state(queue, id) == "failed"
    assert not queue.stats().paused
    assert "jobrecord" not in text(user, "/admin/")


def test_a_view_permission_opens_its_own_pages_only(queue: Queue, web: Web) -> None:
    user = web("view_queue")
    fail(queue)
    assert "?queue=" not in text(user, QUEUES)
    assert user.get(JOBS).status_code == 403
    assert "jobrecord" not in text(user, "/admin/")


def test_viewers_see_no_buttons_and_forged_posts_are_refused(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web("view_job", "view_queue", "view_job_payload", "view_worker")
    queue.push()
    for url in (QUEUES, JOBS, page_of(queue, id), f"{QUEUES}email/change/", WORKERS):
        html = text(user, url)
        for word in ('name="action"', 'name="job"', 'name="pause"', 'name="empty"', "/edit/"):
            assert word not in html
    for url in every_page(queue, id):
        for data in FORGED:
            answer = user.post(url, {**data, "job": f"email:{id}"})
            assert answer.status_code in (200, 302, 403)
            if url in (JOBS, page_of(queue, id)):
                assert answer.status_code == 403
    assert user.post(QUEUES, {"pause": "email"}).status_code == 403
    assert user.get(page_of(queue, id, "edit")).status_code == 403
    assert state(queue, id) == "failed"
    assert not queue.stats().paused
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(("right", "wrong"), [("retry", "discard"), ("discard", "retry")])
def test_one_action_does_not_allow_the_other(
    queue: Queue, web: Web, right: str, wrong: str
) -> None:
    id, user = fail(queue), web("view_job", f"{right}_job")
    html = text(user, page_of(queue, id))
    assert f'value="{right}"' in html
    assert f'value="{wrong}"' not in html
    assert user.post(JOBS, {"action": wrong, "job": f"email:{id}"}).status_code == 403
    assert state(queue, id) == "failed"


def test_stock_pages_that_would_touch_a_table_do_not_exist(queue: Queue, web: Web) -> None:
    user = web(superuser=True)
    for url in (f"{JOBS}add/", f"{JOBS}email:1/delete/", f"{QUEUES}add/", f"{QUEUES}x/delete/"):
        assert user.get(url).status_code == 404


def test_the_payload_is_hidden_from_who_may_not_see_it(queue: Queue, web: Web) -> None:
    id = fail(queue, {"card": "secret-payload"})
    user = web("view_job", "retry_job", "discard_job")
    assert "The record in Redis" not in text(user, page_of(queue, id))
    for url in (JOBS, page_of(queue, id)):
        html = text(user, url)
        assert "ValueError" in html
        assert "secret" not in html
        assert "Traceback" not in html
    for word in ("secret-payload", "secret-message"):
        assert user.get(f"{JOBS}?q={word}").context["page"].rows == []
    assert len(user.get(f"{JOBS}?q=valueerr").context["page"].rows) == 1
    confirm = user.post(JOBS, {"action": "retry-all"}).content.decode()
    assert "ValueError" in confirm
    assert "secret" not in confirm


def test_the_payload_is_shown_to_who_may_see_it(queue: Queue, web: Web) -> None:
    id, user = fail(queue, {"card": "secret-payload"}), web("view_job", "view_job_payload")
    assert "secret-message" in text(user, JOBS)
    html = text(user, page_of(queue, id))
    for word in ("secret-payload", "secret-message", "Traceback", "The record in Redis"):
        assert word in html


@pytest.mark.parametrize("from_list", [True, False])
def test_retry(queue: Queue, web: Web, from_list: bool) -> None:
    id, user = fail(queue), web("view_job", "retry_job")
    url = JOBS if from_list else page_of(queue, id)
    answer = user.post(url, {"action": "retry", "job": f"email:{id}"}, follow=True)
    assert "1 job is retried." in answer.content.decode()
    assert state(queue, id) == "active"
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.is_change()) == (f"email:{id}", True)
    assert entry.get_change_message() == "Retried."
    assert "Retried." in text(user, page_of(queue, id).replace("change", "history"))
    assert 'name="action"' not in text(user, page_of(queue, id))


def test_discard_selected(queue: Queue, web: Web) -> None:
    ids, user = [fail(queue) for _ in range(3)], web("view_job", "discard_job")
    chosen = [f"email:{id}" for id in (*ids[:2], "absent")] + ["nowhere:1", "junk"]
    answer = user.post(JOBS, {"action": "discard", "job": chosen}, follow=True)
    assert "2 jobs were discarded." in answer.content.decode()
    assert "3 jobs had already moved on" in answer.content.decode()
    assert [state(queue, id) for id in ids] == ["gone", "gone", "failed"]
    assert LogEntry.objects.filter(action_flag=3).count() == 2
    answer = user.get(page_of(queue, ids[0]), follow=True)
    assert "There is no such job" in answer.content.decode()


def test_selecting_nothing_says_so(queue: Queue, web: Web) -> None:
    answer = web("view_job", "retry_job").post(JOBS, {"action": "retry"}, follow=True)
    assert "No job was selected." in answer.content.decode()


def test_pause_and_resume(queue: Queue, web: Web) -> None:
    queue.push()
    user = web("view_queue", "pause_queue")
    assert 'name="pause" value="email"' in text(user, QUEUES)
    user.post(QUEUES, {"pause": "email"})
    assert queue.stats().paused
    assert 'name="resume" value="email"' in text(user, QUEUES)
    answer = user.post(QUEUES, {"pause": "email"}, follow=True)
    assert "nothing was changed" in answer.content.decode()
    user.post(QUEUES, {"resume": "email"})
    assert not queue.stats().paused
    assert [entry.object_id for entry in LogEntry.objects.all()] == ["email", "email"]
    answer = user.post(QUEUES, {"pause": "a b"}, follow=True)
    assert "no such queue" in answer.content.decode()


def test_counts(queue: Queue, web: Web) -> None:
    fail(queue)
    queue.push()
    queue.push(delay=60)
    answer = web("view_queue", "view_job").get(QUEUES)
    stats = next(q.stats for q in answer.context["snapshot"].queues if q.name == "email")
    assert (stats.active, stats.processing, stats.scheduled, stats.failed) == (1, 0, 1, 1)
    assert f"{JOBS}?queue=email" in answer.content.decode()


def test_forms_need_a_csrf_token(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web(superuser=True)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = user.cookies
    for url in every_page(queue, id):
        for data in FORGED:
            assert strict.post(url, {**data, "job": f"email:{id}"}).status_code == 403
    assert state(queue, id) == "failed"


def bury(queue: Queue, client: Redis, scores: dict[str, int]) -> None:
    """Write failed jobs with the times wished."""
    for id, score in scores.items():
        client.hset(f"{queue.root}:job:{id}", mapping={"state": "failed", "handler": "h"})
    client.zadd(f"{queue.root}:failed", scores)


def test_paging_shows_every_job_once_even_at_one_millisecond(client: Redis, web: Web) -> None:
    first, second = get_queue("a"), get_queue("b")
    first.push()
    second.push()
    bury(first, client, {f"{i:03}": 1000 + i // 60 for i in range(130)})
    bury(second, client, {f"{i:03}": 1001 for i in range(40)})
    user, seen, url, walked = web("view_job"), [], JOBS, 0
    while True:
        page = user.get(url).context["page"]
        seen += [row.object_id for row in page.rows]
        if not page.after:
            break
        url, walked = f"{JOBS}?after={page.after}", walked + 1
    assert walked == 3
    assert len(seen) == len(set(seen)) == 170
    back = user.get(f"{JOBS}?before={page.before}").context["page"]
    assert [row.object_id for row in back.rows] == seen[100:150]
    only = user.get(f"{JOBS}?queue=b").context
    assert (len(only["page"].rows), only["page"].after) == (40, "")


def test_paging_goes_on_when_the_job_at_the_edge_was_retried(client: Redis) -> None:
    queue = get_queue("a")
    bury(queue, client, {f"{i:03}": 1000 for i in range(9)})
    page = pages.page(pages.failed([queue]), Reader(Redactor(())), size=3)
    queue.discard(page.rows[-1].id)
    before = pages.Position.parse(page.after)
    assert [
        row.id
        for row in pages.page(
            pages.failed([queue]), Reader(Redactor(())), after=before, size=3
        ).rows
    ] == [
        "005",
        "004",
        "003",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "before=abc",
        "after=nan:a:b",
        "before=inf:a:b",
        "before=1:email:x",
        "queue=none",
        "p=9&all=1",
    ],
)
def test_odd_parameters_are_harmless(queue: Queue, web: Web, query: str) -> None:
    fail(queue)
    text(web("view_job"), f"{JOBS}?{query}")


def test_hostile_texts_are_escaped_and_shown(queue: Queue, client: Redis, web: Web) -> None:
    evil = "<script>alert(1)</script>\ud800"
    id = queue.push("x" * 100_000 + "\n", "mail", max_attempts=1)
    with pytest.raises(RuntimeError):
        queue.pull(lambda job: (_ for _ in ()).throw(RuntimeError(evil)))
    client.hset(
        f"{queue.root}:job:{id}", mapping={"handler": "<script>\xff", "payload": b"\xff<b>"}
    )
    client.zadd(f"{queue.root}:failed", {"<script>'/": 1, "orphan": 2, "list": 3})
    client.hset(f"{queue.root}:job:<script>'/", "handler", "<script>")
    client.lpush(f"{queue.root}:job:list", "x")
    user = web(superuser=True)
    html = text(user, JOBS) + user.post(JOBS, {"action": "retry-all"}).content.decode()
    html += text(user, f"{JOBS}?queue=<script>'&handler=<script>'&error=<script>'&q=<script>'")
    html += text(user, page_of(queue, id, "edit"))
    for url in (page_of(queue, id), page_of(queue, "_3Cscript_3E'_2F")):
        html += text(user, url)
    assert "<script>alert" not in html
    assert "<script>'" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html


def test_no_inline_scripts_and_styles_of_ours(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web(superuser=True)
    for url in every_page(queue, id)[:1] + [JOBS, *every_page(queue, id)[-4:-1], WORKERS]:
        content = text(user, url).split('id="content-main"')[1]
        for word in ("<style", "style=", "onclick", "<script>"):
            assert word not in content.split("</main>")[0]


def test_without_redis_the_pages_say_so_and_the_admin_stays(web: Web, settings: Any) -> None:
    settings.JOBS = {"URL": "redis://user:hunter2@127.0.0.1:1/0"}
    user = web(superuser=True)
    names = ("", "live/", "handlers/", "email/change/")
    urls = [f"{QUEUES}{name}" for name in names] + [WORKERS, JOBS, f"{JOBS}live/"]
    urls += [f"{JOBS}email:1/change/", f"{JOBS}email:1/edit/", f"{JOBS}bulk/email/1/"]
    for url in urls:
        for answer in (user.get(url), user.post(url, {"action": "retry", "job": "email:1"})):
            assert answer.status_code == 503
            assert b"Redis" in answer.content
            assert b"hunter2" not in answer.content
    assert "jobrecord" in text(user, "/admin/")
    text(user, f"{JOBS}email:1/history/")


@pytest.mark.parametrize("away", ["", "sms"])
def test_one_redis_away_takes_only_its_own_queues_along(
    client: Redis, web: Web, settings: Any, away: str
) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    urls = {"": os.environ["REDIS_URL"], "sms": os.environ["REDIS_URL"].replace("/0", "/1")}
    urls[away] = nowhere
    settings.JOBS = {"URL": urls[""], "QUEUES": {"email": {}, "sms": {"URL": urls["sms"]}}}
    here, there = ("email", "sms") if away else ("sms", "email")
    id, user = fail(get_queue(here)), web(superuser=True)
    client.sadd("jobs:queues", "sms")  # it was there once
    for url in (QUEUES, f"{QUEUES}handlers/", WORKERS, JOBS, f"{JOBS}?state=waiting"):
        html = text(user, url)
        assert re.search(rf"left out: .*\b{there}\b", html)
    assert user.get(JOBS).context["page"].rows[0].id == id
    for url in (f"{QUEUES}live/", f"{JOBS}live/", f"{QUEUES}{here}/change/"):
        assert "left out" not in text(user, url)
    for url in (f"{QUEUES}{there}/change/", f"{JOBS}{there}:1/change/", f"{JOBS}bulk/{there}/1/"):
        assert user.get(url).status_code == 503
    assert user.post(JOBS, {"action": "retry", "job": f"{there}:1"}).status_code == 503
    answer = user.post(JOBS, {"action": "retry-all", "until": "9e15"})
    user.post(answer["Location"])
    assert state(get_queue(here), id) == "active"


def test_what_was_done_before_redis_went_is_in_the_history(
    queue: Queue, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, user, retry = [fail(queue), fail(queue)], web("view_job", "retry_job"), Queue.retry

    def once(self: Queue, id: str) -> bool:
        if id == ids[1]:
            raise ConnectionError("gone")
        return retry(self, id)

    monkeypatch.setattr(Queue, "retry", once)
    data = {"action": "retry", "job": [f"email:{id}" for id in ids]}
    assert user.post(JOBS, data).status_code == 503
    assert LogEntry.objects.get().object_id == f"email:{ids[0]}"


def test_permissions_are_exactly_those_of_the_design() -> None:
    found = Permission.objects.filter(content_type__app_label="django_jobs")
    assert sorted(found.values_list("codename", flat=True)) == sorted(
        "view_queue pause_queue empty_queue view_job view_job_payload retry_job discard_job"
        " cancel_job edit_job view_worker stop_worker view_schedule run_schedule"
        " pause_schedule".split()
    )


def test_there_is_nothing_to_migrate_and_nothing_to_dump() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    for options in ({}, {"use_base_manager": True}):
        out = io.StringIO()
        call_command("dumpdata", "django_jobs", stdout=out, **options)
        assert out.getvalue().strip() == "[]"


def test_a_second_site_has_links_of_its_own(queue: Queue, web: Web, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.admin.two_sites"
    id, user = fail(queue), web(superuser=True)
    for url in (JOBS, page_of(queue, id), QUEUES):
        html = text(user, url.replace("/admin/", "/second/"))
        content = html.split('id="content-main"')[1]
        assert "/second/django_jobs/" in content
        assert 'href="/admin/' not in content
    answer = user.post(f"/second/django_jobs/jobrecord/email:{id}/change/", {"action": "retry"})
    assert answer["Location"].startswith("/second/")


def test_pages_ask_the_database_for_session_and_user_only(
    queue: Queue, web: Web, django_assert_num_queries: Any
) -> None:
    id, user = fail(queue), web(superuser=True)
    for url in (JOBS, page_of(queue, id), QUEUES, f"{QUEUES}email/change/", WORKERS):
        with django_assert_num_queries(2):
            text(user, url)
