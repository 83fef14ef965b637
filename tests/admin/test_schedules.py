"""The pages of schedules: what they show to whom, and what they do."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.urls import reverse
from redis import Redis

from django_jobs.line import run
from django_jobs.queue import Queue
from django_jobs.rhythm import Rhythm
from tests.admin.pages import QUEUES, SCHEDULES, Web, page_of, text
from tests.test_schedules import HOUR, claim, make_due, schedule, tell

pytestmark = pytest.mark.django_db

CRON = Rhythm("0 3 * * *", timezone="Europe/Berlin")


def change(page: str = "change") -> str:
    return reverse(f"admin:django_jobs_jobschedule_{page}", args=[quote("email:nightly")])


def job(id: str) -> str:
    """Return the address of a job's page as a link has it."""
    return reverse("admin:django_jobs_jobrecord_change", args=[quote(f"email:{id}")])


def make(queue: Queue, **options: Any) -> None:
    """Define a schedule on a queue that the project knows."""
    queue.push()
    tell(queue, schedule(**options))


def test_the_list_shows_when_what_and_how_it_went(queue: Queue, web: Web) -> None:
    make(queue, rhythm=CRON)
    html = text(web("view_schedule"), SCHEDULES)
    for words in (
        "nightly",
        "shop.<wbr>report",
        "0 3 * * *",
        "At 03:00 every day",
        "Europe/Berlin",
    ):
        assert words in html
    assert "Overdue" not in html
    assert ">in " in html


def test_each_outcome_is_shown_and_linked_where_there_is_a_job(
    queue: Queue, client: Redis, web: Web
) -> None:
    make(queue)
    assert len(claim(queue, 2).jobs) == 1  # the push of `make`
    done, failed, waiting, cancelled = [queue.run_schedule("nightly") or "" for _ in range(4)]
    jobs = {held.id: held for held in claim(queue, 3, slots=2).jobs}
    run(client, queue.settle_succeeded("w1", [(done, jobs[done].token)]))
    queue.cancel(cancelled)
    run(client, queue.release("w1", [(failed, jobs[failed].token)]))
    queue.fail(failed, "no")
    make_due(queue, 5 * HOUR)
    client.hset("jobs:email:schedule:nightly", "missed", "skip")
    (due,) = claim(queue, 4, slots=0).due
    run(client, queue.fire(due, claim(queue, 5, slots=0).now))
    viewer, other = web("view_schedule", "view_job"), web("view_schedule")
    states = [one.state for one in viewer.get(SCHEDULES).context["rows"][0].runs]
    assert states == ["missed", "gone", "active", "failed", "gone"]
    html = text(viewer, change())
    for words in ("Missed", "Done", "Waiting", "Failed"):
        assert words in html
    assert (job(failed) in html, job(done) in html) == (True, False)
    assert job(failed) not in text(other, change())


def test_a_skipped_run_leads_to_the_job_that_stood(queue: Queue, web: Web) -> None:
    make(queue, unique="k")
    id = queue.run_schedule("nightly")
    queue.run_schedule("nightly")
    assert id is not None
    html = text(web("view_schedule", "view_job"), SCHEDULES)
    assert f'{job(id)}">Skipped' in html


def test_what_is_overdue_is_flagged_and_needs_attention(queue: Queue, web: Web) -> None:
    make(queue)
    user = web("view_schedule", "view_queue")
    assert "is overdue" not in text(user, QUEUES)
    make_due(queue, 2 * HOUR)
    assert "Overdue" in text(user, SCHEDULES)
    assert "Overdue" in text(user, change())
    assert "A schedule of queue email is overdue: it was due 2 h ago." in text(user, QUEUES)
    queue.pause_schedule("nightly")
    assert "is overdue" not in text(user, QUEUES)
    assert "Overdue" not in text(user, SCHEDULES)


@pytest.mark.parametrize("page", [SCHEDULES, change()])
def test_run_pause_and_resume(queue: Queue, web: Web, page: str) -> None:
    make(queue)
    user = web("view_schedule", "run_schedule", "pause_schedule")
    form = {"schedule": "email:nightly"}
    assert 'value="run"' in text(user, page)
    answer = user.post(page, {**form, "action": "run"}, follow=True)
    assert "A job of nightly was pushed." in answer.content.decode()
    assert queue.stats().active == 2
    user.post(page, {**form, "action": "pause"})
    assert "Paused" in text(user, page)
    answer = user.post(page, {**form, "action": "pause"}, follow=True)
    assert "nothing was done" in answer.content.decode()
    assert 'value="resume"' in text(user, page)
    user.post(page, {**form, "action": "resume"})
    found = queue.schedule("nightly")
    assert found is not None
    assert not found.paused
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert said == ["Ran it now.", "Paused.", "Resumed."]
    assert {entry.object_id for entry in LogEntry.objects.all()} == {"email:nightly"}
    assert "Ran it now." in text(user, change(page="history"))


@pytest.mark.parametrize(
    ("right", "allowed"), [("run_schedule", {"run"}), ("pause_schedule", {"pause", "resume"})]
)
def test_each_action_has_its_permission(
    queue: Queue, web: Web, right: str, allowed: set[str]
) -> None:
    make(queue)
    user = web("view_schedule", right)
    for page in (SCHEDULES, change()):
        html = text(user, page)
        assert ('value="run"' in html) == ("run" in allowed)
        assert ('value="pause"' in html) == ("pause" in allowed)
        for action in ("run", "pause", "resume", "explode", ""):
            answer = user.post(page, {"schedule": "email:nightly", "action": action})
            assert answer.status_code == (302 if action in allowed else 403)


def test_the_payload_and_the_unique_key_are_for_those_who_may_see_payloads(
    queue: Queue, web: Web
) -> None:
    make(queue, payload={"card": "secret-one", "password": "secret-three"}, unique="secret-two")
    html = text(web("view_schedule"), change())
    assert "secret" not in html
    html = text(web("view_schedule", "view_job_payload"), change())
    assert "secret-one" in html
    assert "secret-two" in html
    assert "secret-three" not in html


def test_a_job_leads_to_its_schedule(queue: Queue, web: Web) -> None:
    make(queue)
    id = queue.run_schedule("nightly")
    assert id is not None
    assert change() in text(web("view_job", "view_schedule"), page_of(queue, id))
    assert change() not in text(web("view_job"), page_of(queue, id))


def test_without_schedules_the_page_says_how_to_declare_one(queue: Queue, web: Web) -> None:
    assert "@handler(" in text(web("view_schedule"), SCHEDULES)


@pytest.mark.parametrize("id", ["email:gone", "nowhere:nightly", "junk", "email:"])
def test_a_schedule_that_is_gone_leads_back_to_the_list(queue: Queue, web: Web, id: str) -> None:
    make(queue)
    url = reverse("admin:django_jobs_jobschedule_change", args=[id])
    user = web("view_schedule", "run_schedule")
    answer = user.get(url, follow=True)
    assert "There is no such schedule" in answer.content.decode()
    answer = user.post(url, {"action": "run"}, follow=True)
    assert "nothing was done" in answer.content.decode()


def test_odd_fields_of_a_schedule_break_no_page(queue: Queue, client: Redis, web: Web) -> None:
    make(queue)
    odd = {"cron": "<b>", "timezone": "\udc80", "recent": "x y\n1\n\n2 <i> <u>\n3 pushed"}
    for field, value in odd.items():
        client.hset("jobs:email:schedule:nightly", field, value.encode("utf-8", "surrogateescape"))
    client.zadd("jobs:email:schedules", {b"\xff<script>": 1})
    client.hset(b"jobs:email:schedule:\xff<script>", "handler", "<script>")
    user = web("view_schedule", "view_job", "view_job_payload")
    for page in (SCHEDULES, change()):
        html = text(user, page)
        assert "<b>" not in html.replace("<b></b>", "")
        assert "<i>" not in html
    client.delete("jobs:email:schedules")
    client.set("jobs:email:schedules", "x")
    assert "No schedule" in text(user, SCHEDULES)
