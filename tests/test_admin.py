"""The admin's pages: who may see and do what, and what happens without Redis."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from redis import Redis

from django_jobs.connection import get_queue
from django_jobs.monitor import pages
from django_jobs.monitor.shown import Reader
from django_jobs.queue import Queue
from django_jobs.redact import Redactor

pytestmark = pytest.mark.django_db
QUEUES = "/admin/django_jobs/jobqueue/"
JOBS = "/admin/django_jobs/jobrecord/"
Web = Callable[..., Client]


@pytest.fixture
def queue(client: Redis) -> Queue:
    """The queue as the project knows it, with a push that makes it known."""
    return get_queue("email")


@pytest.fixture
def web(db: None) -> Web:
    """Return what logs in a staff user with permissions of ours."""

    def login(*codenames: str, superuser: bool = False) -> Client:
        user = User.objects.create(username="u", is_staff=True, is_superuser=superuser)
        found = Permission.objects.filter(
            content_type__app_label="django_jobs", codename__in=codenames
        )
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        web = Client()
        web.force_login(user)
        return web

    return login


def fail(queue: Queue, payload: Any = None, message: str = "secret-message", **options: Any) -> str:
    """Push a job and let it fail for good."""

    def work(job: object) -> None:
        raise ValueError(message)

    id = queue.push(payload, "mail", max_attempts=1, **options)
    with pytest.raises(ValueError):
        queue.pull(work)
    return id


def page_of(queue: Queue, id: str) -> str:
    return reverse("admin:django_jobs_jobrecord_change", args=[f"{queue.name}:{id}"])


def state(queue: Queue, id: str) -> str:
    record = queue.job(id)
    return record.state if record else "gone"


def text(web: Client, url: str) -> str:
    answer = web.get(url)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def test_anonymous_users_are_asked_to_log_in(queue: Queue) -> None:
    id = fail(queue)
    for url in (QUEUES, JOBS, page_of(queue, id)):
        for answer in (Client().get(url), Client().post(url, {"action": "discard"})):
            assert answer.status_code == 302
            assert "/admin/login/" in answer["Location"]
    assert state(queue, id) == "failed"


@pytest.mark.parametrize("codenames", [(), ("view_worker", "retry_job", "pause_queue")])
def test_without_the_view_permission_every_page_is_refused(
    queue: Queue, web: Web, codenames: tuple[str, ...]
) -> None:
    id, user = fail(queue), web(*codenames)
    for url in (QUEUES, JOBS, page_of(queue, id), page_of(queue, id).replace("change", "history")):
        assert user.get(url).status_code == 403
        data = {"action": "retry", "job": f"email:{id}", "pause": "email"}
        assert user.post(url, data).status_code == 403
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
    id, user = fail(queue), web("view_job", "view_queue", "view_job_payload")
    for url in (QUEUES, JOBS, page_of(queue, id)):
        html = text(user, url)
        for word in ('name="action"', 'name="job"', 'name="pause"'):
            assert word not in html
    for action in ("retry", "discard", "", "cancel"):
        for url in (JOBS, page_of(queue, id)):
            answer = user.post(url, {"action": action, "job": f"email:{id}"})
            assert answer.status_code == 403
    assert user.post(QUEUES, {"pause": "email"}).status_code == 403
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
    for url in (JOBS, page_of(queue, id)):
        html = text(user, url)
        assert "ValueError" in html
        assert "secret" not in html
        assert "Traceback" not in html


def test_the_payload_is_shown_to_who_may_see_it(queue: Queue, web: Web) -> None:
    id, user = fail(queue, {"card": "secret-payload"}), web("view_job", "view_job_payload")
    assert "secret-message" in text(user, JOBS)
    html = text(user, page_of(queue, id))
    for word in ("secret-payload", "secret-message", "Traceback"):
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
    id, user = fail(queue), web("view_job", "retry_job")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = user.cookies
    data = {"action": "retry", "job": f"email:{id}"}
    assert strict.post(JOBS, data).status_code == 403
    assert strict.post(page_of(queue, id), data).status_code == 403
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
    user = web("view_job", "view_job_payload")
    html = text(user, JOBS)
    for url in (page_of(queue, id), page_of(queue, "_3Cscript_3E'_2F")):
        html += text(user, url)
    assert "<script>alert" not in html
    assert "<script>'" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html


def test_no_inline_scripts_and_styles_of_ours(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web(superuser=True)
    for url in (QUEUES, JOBS, page_of(queue, id)):
        content = text(user, url).split('id="content-main"')[1]
        for word in ("<style", "style=", "onclick", "<script>"):
            assert word not in content.split("</main>")[0]


def test_without_redis_the_pages_say_so_and_the_admin_stays(web: Web, settings: Any) -> None:
    settings.JOBS = {"URL": "redis://user:hunter2@127.0.0.1:1/0"}
    user = web(superuser=True)
    for url in (QUEUES, JOBS, f"{JOBS}email:1/change/"):
        for answer in (user.get(url), user.post(url, {"action": "retry", "job": "email:1"})):
            assert answer.status_code == 503
            assert b"Redis" in answer.content
            assert b"hunter2" not in answer.content
    assert "jobrecord" in text(user, "/admin/")
    text(user, f"{JOBS}email:1/history/")


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
