"""Work on many jobs: exactly what was confirmed, step by step, once."""

from itertools import combinations
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from django_jobs import bulk
from django_jobs.connection import get_queue
from django_jobs.monitor import counts, pages
from django_jobs.queue import Queue
from tests.admin.pages import JOBS, QUEUES, Web, fail, state
from tests.admin.test_jobs import age

pytestmark = pytest.mark.django_db


def confirm(user: Client, query: str = "", action: str = "retry", **data: Any) -> str:
    """Confirm work on all jobs that match, and return the address of its page."""
    asked = user.post(JOBS + query, {"action": f"{action}-all"})
    assert asked.status_code == 200
    data |= {"action": f"{action}-all", "until": asked.context["until"]}
    answer = user.post(JOBS + query, data)
    assert answer.status_code == 302
    return str(answer["Location"])


def finish(user: Client, url: str) -> dict[str, Any]:
    """Do all steps, and return what the last one said."""
    while True:
        answer = user.post(url, headers={"accept": "application/json"})
        assert answer.status_code == 200
        said: dict[str, Any] = answer.json()
        if said["over"]:
            return said


FILTERS = {"queue": "email", "handler": "a", "error": "KeyError", "time": "hour"}
CHOICES = [dict(some) for size in range(5) for some in combinations(FILTERS.items(), size)]


@pytest.mark.parametrize("chosen", CHOICES, ids=lambda chosen: "+".join(chosen) or "all")
def test_exactly_what_matches_is_discarded(
    queue: Queue, client: Redis, web: Web, chosen: dict[str, str]
) -> None:
    jobs: dict[str, dict[str, str]] = {}
    for name in ("email", "sms"):
        for handler in ("a", "b"):
            for error in (KeyError, ValueError):
                for time in ("hour", "before"):
                    id = fail(get_queue(name), handler=handler, error=error)
                    age(get_queue(name), client, id, 60 if time == "hour" else 7200)
                    jobs[id] = {
                        "queue": name,
                        "handler": handler,
                        "error": error.__name__,
                        "time": time,
                    }
    wanted = {id for id, facts in jobs.items() if chosen.items() <= facts.items()}
    user = web("view_job", "discard_job")
    query = "?" + "&".join(f"{name}={value}" for name, value in chosen.items())
    asked = user.post(JOBS + query, {"action": "discard-all"})
    assert asked.context["count"] == len(wanted) == sum(g.count for g in asked.context["groups"])
    said = finish(user, confirm(user, query, "discard"))
    assert said["said"].startswith(f"{len(wanted)} job")
    left = {id for id, facts in jobs.items() if state(get_queue(facts["queue"]), id) == "failed"}
    assert left == jobs.keys() - wanted
    entry = LogEntry.objects.get()
    assert entry.is_deletion()
    assert str(len(wanted)) in entry.get_change_message()


def test_what_fails_after_the_question_is_left_alone(queue: Queue, web: Web) -> None:
    first, user = fail(queue), web("view_job", "retry_job")
    asked = user.post(JOBS, {"action": "retry-all"})
    second = fail(queue)
    data = {"action": "retry-all", "until": asked.context["until"]}
    finish(user, user.post(JOBS, data)["Location"])
    assert [state(queue, id) for id in (first, second)] == ["active", "failed"]


def test_a_forged_moment_ends_now(queue: Queue, web: Web) -> None:
    first, user = fail(queue), web("view_job", "retry_job")
    url = user.post(JOBS, {"action": "retry-all", "until": "9e15"})["Location"]
    queue.discard(first)
    later = fail(queue)
    assert finish(user, url)["total"] == 1
    assert state(queue, later) == "failed"


def test_a_job_that_fails_again_meanwhile_is_retried_once(
    queue: Queue, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [fail(queue, number) for number in range(3)]
    user, ran = web("view_job", "retry_job"), []

    def fails_again(job: Any) -> None:
        ran.append(job.id)
        raise ValueError("again")

    step = bulk.Bulk.step
    monkeypatch.setattr(
        bulk.Bulk, "step", lambda self, get_queue, limit=1: step(self, get_queue, limit)
    )
    url = confirm(user)
    for _ in range(10):
        user.post(url)
        while queue.stats().active:
            with pytest.raises(ValueError):
                queue.pull(fails_again)
    assert sorted(set(ran)) == sorted(jobs)
    for id in jobs:
        record = queue.job(id)
        assert record is not None
        assert record.token <= 1 + record.max_attempts


def test_the_work_can_be_left_and_taken_up_again(
    queue: Queue, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = bulk.Bulk.step
    monkeypatch.setattr(
        bulk.Bulk, "step", lambda self, get_queue, limit=2: step(self, get_queue, limit)
    )
    jobs, user = [fail(queue) for _ in range(5)], web("view_job", "discard_job")
    url = confirm(user, action="discard")
    assert user.post(url)["Location"] == url
    page = user.get(url)
    assert page.context["progress"]["done"] == 2
    assert 'value="2"' in page.content.decode()
    colleague = web("view_job", "discard_job")
    finish(colleague, url)
    assert {state(queue, id) for id in jobs} == {"gone"}
    assert user.post(url, headers={"accept": "application/json"}).json()["over"]
    assert "5 jobs were discarded." in user.get(url).content.decode()


def test_what_had_moved_on_is_counted_apart(queue: Queue, web: Web) -> None:
    jobs, user = [fail(queue) for _ in range(3)], web("view_job", "retry_job")
    url = confirm(user)
    queue.discard(jobs[0])
    said = finish(user, url)
    assert said["said"] == "2 jobs are retried. 1 job had already moved on and was left alone."
    assert said["done"] == said["total"] == 3


def test_two_people_press_retry_at_once(queue: Queue, web: Web) -> None:
    jobs = [fail(queue) for _ in range(4)]
    users = [web("view_job", "retry_job") for _ in range(2)]
    urls = [confirm(user) for user in users]
    said = [finish(user, url)["said"] for user, url in zip(users, urls, strict=True)]
    assert said[0] == "4 jobs are retried."
    assert said[1] == "0 jobs are retried. 4 jobs had already moved on and were left alone."
    assert queue.stats().active == len(jobs)


def test_what_somebody_else_takes_within_a_step_costs_nobody_their_turn(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [fail(queue) for _ in range(4)]
    work, run_many = bulk.of_failed("retry", pages.failed([queue])), bulk.run_many

    def after_others(client: Redis, calls: Any) -> Any:
        queue.retry(jobs[0])
        return run_many(client, calls)

    monkeypatch.setattr(bulk, "run_many", after_others)
    while not work.over:
        work.step(get_queue, limit=2)
    assert [state(queue, id) for id in jobs] == ["active"] * 4
    assert (work.done, work.skipped) == (3, 1)


def test_a_step_that_ends_half_way_keeps_what_it_did(queue: Queue) -> None:
    for name in ("email", "sms"):
        fail(get_queue(name))
    work = bulk.of_failed("retry", pages.failed([queue, get_queue("sms")]))
    bulk.save(queue, work)
    nowhere = Queue("sms", Redis(port=1, retry=Retry(NoBackoff(), 0)))
    with pytest.raises(RedisConnectionError):
        bulk.go_on(queue, work.id, lambda name: nowhere if name == "sms" else queue)
    kept = bulk.load(queue, work.id)
    assert kept and (kept.done, kept.skipped, kept.over) == (1, 0, False)


def test_a_job_that_cannot_be_retried_is_passed_over(queue: Queue) -> None:
    held, free = fail(queue, unique="u"), fail(queue)
    queue.push(None, "mail", unique="u")
    work = bulk.of_failed("retry", pages.failed([queue]))
    while not work.over:
        work.step(get_queue, limit=1)
    assert [state(queue, id) for id in (held, free)] == ["failed", "active"]
    assert (work.done, work.skipped) == (1, 1)


@pytest.mark.parametrize("kept", ["x", "1", "[]", "{}", '{"parts": [], "colour": 1}', "[" * 10_000])
def test_what_is_no_work_is_not_found(queue: Queue, client: Redis, web: Web, kept: str) -> None:
    queue.push()
    client.set(f"{queue.root}:bulk:1", kept)
    client.hset(f"{queue.root}:bulk:2", "a", "b")
    user = web("view_job", "retry_job")
    for id in "12":
        assert user.get(f"{JOBS}bulk/email/{id}/").status_code == 404
        assert user.post(f"{JOBS}bulk/email/{id}/").status_code == 404


@pytest.mark.parametrize("id", ["email:bulk:", ":bulk:1", "email:bulk:a_2Fb", "a_2Fb:bulk:1"])
def test_what_only_looks_like_work_leads_to_the_list(queue: Queue, web: Web, id: str) -> None:
    assert web("view_job").get(f"{JOBS}{id}/change/")["Location"] == f"{JOBS}?"


def test_a_retry_can_be_spread_over_a_time(queue: Queue, web: Web) -> None:
    jobs, user = [fail(queue) for _ in range(4)], web("view_job", "retry_job")
    finish(user, confirm(user, spread="600"))
    now = counts.server_time(queue) / 1000
    records = [queue.job(id) for id in jobs]
    due = [record.due_at.timestamp() - now for record in records if record and record.due_at]
    assert [round(seconds / 150) for seconds in sorted(due)] == [1, 2, 3]
    assert queue.stats().active == 1


def test_forms_send_plain_numbers_where_pages_group_digits(
    queue: Queue, web: Web, settings: Any
) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    fail(queue)
    user = web("view_job", "retry_job")
    assert 'value="3600"' in user.post(JOBS, {"action": "retry-all"}).content.decode()
    work = bulk.of_failed("retry", pages.failed([queue]))
    work.total, work.done = 12_345, 5000
    bulk.save(queue, work)
    html = user.get(f"{JOBS}bulk/email/{work.id}/").content.decode()
    assert 'max="12345" value="5000"' in html


@pytest.mark.parametrize("spread", ["7", "-1", "x", "", "99999", "²", "9" * 5000])
def test_another_spread_is_none(queue: Queue, web: Web, spread: str) -> None:
    jobs, user = [fail(queue), fail(queue)], web("view_job", "retry_job")
    finish(user, confirm(user, spread=spread))
    assert [state(queue, id) for id in jobs] == ["active", "active"]


def test_all_that_a_text_search_finds_is_refused(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web("view_job", "retry_job", "view_job_payload")
    assert user.post(f"{JOBS}?q=secret", {"action": "retry-all"}).status_code == 403
    assert user.post(f"{JOBS}?state=waiting", {"action": "retry-all"}).status_code == 403
    assert "retry-all" not in user.get(f"{JOBS}?q=secret").content.decode()
    assert state(queue, id) == "failed"


def test_nothing_matches_any_more(queue: Queue, web: Web) -> None:
    answer = web("view_job", "retry_job").post(JOBS, {"action": "retry-all"}, follow=True)
    assert "No job matches any more." in answer.content.decode()


def test_work_that_is_forgotten_or_of_others_is_not_found(queue: Queue, web: Web) -> None:
    fail(queue)
    user = web("view_job", "retry_job", "view_queue", "empty_queue")
    url = confirm(user)
    assert user.get(f"{JOBS}bulk/email/absent/").status_code == 404
    assert user.get(f"{JOBS}bulk/none/absent/").status_code == 404
    assert user.get(url.replace(JOBS, QUEUES)).status_code == 404
    other = web("view_job", "discard_job")
    assert other.get(url).status_code == 403
    assert other.post(url).status_code == 403
    assert queue.stats().failed == 1


def test_the_history_leads_to_the_work(queue: Queue, web: Web) -> None:
    fail(queue)
    user = web("view_job", "retry_job")
    url = confirm(user)
    link = LogEntry.objects.get().get_admin_url()
    assert link is not None
    assert user.get(link)["Location"] == url


def test_delete_all_waiting(queue: Queue, web: Web) -> None:
    user = web("view_queue", "empty_queue")
    page = f"{QUEUES}email/change/"
    jobs, later = [queue.push() for _ in range(3)], queue.push(delay=60)
    asked = user.post(page, {"empty": "yes"})
    assert "Delete 3 waiting jobs?" in asked.content.decode()
    assert queue.stats().active == 3
    url = user.post(page, {"empty": "yes", "confirmed": "yes"})["Location"]
    assert finish(user, url)["said"] == "3 jobs were deleted."
    assert {state(queue, id) for id in jobs} == {"gone"}
    assert state(queue, later) == "scheduled"
    assert LogEntry.objects.get().object_id == "email"
    answer = user.post(page, {"empty": "yes"}, follow=True)
    assert "Nothing is waiting." in answer.content.decode()
