"""The list of jobs: states, filters, search, pages, and what is done to those picked."""

from typing import Any
from urllib.parse import parse_qs

import pytest
from django.contrib.admin.models import LogEntry
from redis import Redis

from django_jobs.connection import get_queue
from django_jobs.monitor import counts
from django_jobs.queue import Queue
from tests.admin.pages import JOBS, Web, fail, page_of, state, text

pytestmark = pytest.mark.django_db


def ids(page: Any) -> set[str]:
    return {row.id for row in page.rows}


def filters(context: Any) -> dict[str, dict[str, int | None]]:
    """Return the filter column as {title: {choice: count}}."""
    return {
        found.title: {choice.text: choice.count for choice in (*found.choices, *found.more)}
        for found in context["filters"]
    }


def age(queue: Queue, client: Redis, id: str, seconds: float) -> None:
    """Let a job have failed some time ago."""
    score = counts.server_time(queue) - seconds * 1000
    group = client.hget(f"{queue.root}:job:{id}", "group")
    assert isinstance(group, bytes)
    client.zadd(f"{queue.root}:failed", {id: score})
    client.zadd(f"{queue.root}:group:".encode() + group, {id: score})


def test_each_state_has_a_tab_with_its_count(queue: Queue, web: Web) -> None:
    failed, user = fail(queue), web("view_job")
    waiting, later = queue.push(handler="mail"), queue.push(handler="mail", delay=60)
    running: list[str] = []

    def look(job: Any) -> None:
        running.append(job.id)
        found = user.get(f"{JOBS}?state=running").context
        assert ids(found["page"]) == {job.id}
        assert [tab.count for tab in found["tabs"]] == [1, 1, 0, 1, 0]

    for name, id in (("failed", failed), ("scheduled", later), ("waiting", waiting)):
        context = user.get(f"{JOBS}?state={name}").context
        assert ids(context["page"]) == {id}
        assert [tab.count for tab in context["tabs"]] == [1, 1, 1, 0, 0]
        assert [tab.name for tab in context["tabs"] if tab.chosen] == [name]
    queue.pull(look)
    assert running == [waiting]


def test_succeeded_jobs_stand_there_with_their_results(
    queue: Queue, client: Redis, web: Web
) -> None:
    id, now = queue.push({"n": 1}, "add"), counts.server_time(queue)
    client.delete(f"{queue.root}:active")
    fields = {"state": "succeeded", "finished_at": int(now), "result": '{"secret-sum": 3}'}
    client.hset(f"{queue.root}:job:{id}", mapping=fields)
    client.hset(f"{queue.root}:job:over", mapping=fields | {"handler": "add"})
    client.zadd(f"{queue.root}:succeeded", {id: now + 60_000, "over": now - 1})
    viewer, reader = web("view_job", "cancel_job"), web("view_job", "view_job_payload")
    context = viewer.get(f"{JOBS}?state=succeeded").context
    assert ids(context["page"]) == {id}
    assert [tab.count for tab in context["tabs"]] == [0, 0, 0, 0, 1]
    assert "secret-sum" in text(reader, page_of(queue, id))
    html = text(viewer, page_of(queue, id))
    assert "secret-sum" not in html
    assert ">Succeeded<" in html
    assert 'name="action"' not in html


def test_a_retry_among_the_scheduled_is_marked(queue: Queue, client: Redis, web: Web) -> None:
    id, user = queue.push(delay=60), web("view_job")
    assert ">Retry<" not in text(user, f"{JOBS}?state=scheduled")
    client.hset(f"{queue.root}:job:{id}", "attempts", 2)
    assert ">Retry<" in text(user, f"{JOBS}?state=scheduled")


def test_filters_count_exactly_given_the_other_filters(
    queue: Queue, client: Redis, web: Web
) -> None:
    other, user = get_queue("sms"), web("view_job")
    old = fail(queue, handler="a")
    for _ in range(2):
        fail(queue, handler="a", error=KeyError)
    fail(queue, handler="b", error=KeyError)
    sms = fail(other, handler="a", error=KeyError)
    age(queue, client, old, 7200)
    everything = filters(user.get(JOBS).context)
    assert everything["By queue"] == {"All": None, "email": 4, "sms": 1}
    assert everything["By handler"] == {"All": None, "a": 4, "b": 1}
    assert everything["By error"] == {"All": None, "KeyError": 4, "ValueError": 1}
    some = user.get(f"{JOBS}?handler=a&time=hour").context
    assert filters(some)["By queue"] == {"All": None, "email": 2, "sms": 1}
    assert filters(some)["By handler"] == {"All": None, "a": 3, "b": 1}
    assert filters(some)["By error"] == {"All": None, "KeyError": 3}
    assert some["total"] == len(some["page"].rows) == 3
    assert old not in ids(some["page"])
    one = user.get(f"{JOBS}?handler=a&error=KeyError&queue=sms").context
    assert ids(one["page"]) == {sms}
    assert ids(user.get(f"{JOBS}?error=ValueError").context["page"]) == {old}


def test_a_filter_shows_nine_and_then_how_many_more(queue: Queue, web: Web) -> None:
    for number in range(12):
        fail(queue, handler=f"h{number:02}")
    answer = web("view_job").get(JOBS)
    by_handler = answer.context["filters"][2]
    assert [len(by_handler.choices), len(by_handler.more)] == [10, 3]
    assert "3 more" in answer.content.decode()
    assert answer.context["more_errors"] == 7


def test_every_link_of_a_filter_keeps_the_others(queue: Queue, web: Web) -> None:
    fail(queue)
    context = web("view_job").get(f"{JOBS}?queue=email&time=day&handler=mail").context
    by_error = context["filters"][3].choices[1]
    assert parse_qs(by_error.query.removeprefix("?")) == {
        "queue": ["email"],
        "handler": ["mail"],
        "error": ["ValueError"],
        "time": ["day"],
    }


def test_the_most_frequent_errors_come_with_their_latest(queue: Queue, web: Web) -> None:
    fail(queue, error=KeyError)
    for _ in range(2):
        fail(queue)
    first, second = web("view_job").get(JOBS).context["errors"]
    assert (first["group"].exception, first["group"].count) == ("ValueError", 2)
    assert second["group"].exception == "KeyError"
    assert first["latest"] is not None
    assert first["line"].startswith("M0 20L") and first["line"].endswith("100 1")


def test_an_id_opens_its_job(queue: Queue, web: Web) -> None:
    id, user = fail(queue), web("view_job")
    for words in (id, f"email:{id}", f" {id} "):
        answer = user.get(JOBS, {"q": words, "state": "running"})
        if answer.status_code == 200:  # running jobs have no search but that of an id
            answer = user.get(JOBS, {"q": words})
        assert answer["Location"].replace("_3A", ":") == page_of(queue, id)
    assert user.get(JOBS, {"q": "0" * 32}).status_code == 200


def test_search_looks_through_message_and_payload(queue: Queue, web: Web) -> None:
    id, user = fail(queue, {"card": "4711"}, "Timeout at noon"), web("view_job", "view_job_payload")
    fail(queue, {"card": "42"}, "other")
    for words in ("4711", "AT NOON"):
        context = user.get(JOBS, {"q": words}).context
        assert ids(context["page"]) == {id}
        assert context["page"].looked_at == 2
    html = text(user, f"{JOBS}?q=absent")
    assert "No job matches." in html
    assert "Looked through 2 jobs" in html


def test_search_says_how_far_it_looked_and_goes_on(
    queue: Queue, client: Redis, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_jobs.monitor.pages.SEARCHED", 500)
    oldest = fail(queue, {"word": "needle"})
    pipeline = client.pipeline()
    now = counts.server_time(queue)
    for number in range(700):
        pipeline.hset(f"{queue.root}:job:{number:03}", mapping={"state": "failed", "payload": "1"})
        pipeline.zadd(f"{queue.root}:failed", {f"{number:03}": now + number})
    pipeline.execute()
    user = web("view_job", "view_job_payload")
    answer = user.get(JOBS, {"q": "needle"})
    assert answer.context["page"].rows == []
    assert "Search older jobs" in answer.content.decode()
    older = user.get(JOBS + answer.context["on"])
    assert ids(older.context["page"]) == {oldest}


def test_pages_of_a_filtered_list_stay_filtered(queue: Queue, web: Web) -> None:
    wanted = {fail(queue, handler="a") for _ in range(60)}
    fail(queue, handler="b")
    user = web("view_job")
    first = user.get(f"{JOBS}?handler=a").context
    second = user.get(JOBS + first["on"]).context
    assert ids(first["page"]) | ids(second["page"]) == wanted
    assert ids(user.get(JOBS + second["back"]).context["page"]) == ids(first["page"])


def test_waiting_jobs_are_shown_in_the_order_of_their_turn(queue: Queue, web: Web) -> None:
    pushed = [queue.push(number) for number in range(60)]
    urgent = queue.push(priority=5)
    user = web("view_job")
    first = user.get(f"{JOBS}?state=waiting").context
    assert [row.id for row in first["page"].rows] == [urgent, *pushed[:49]]
    second = user.get(JOBS + first["on"]).context
    assert [row.id for row in second["page"].rows] == pushed[49:]
    assert "start=0" not in second["back"]


@pytest.mark.parametrize(
    "query",
    [
        "p=99999",
        "all=1",
        "state=waiting&start=123456789x",
        "state=waiting&start=²",
        "_facets=1",
        "state=nothing",
        "state=waiting&start=x",
        "time=year",
    ]
    + ["state=waiting&start=999999", "state=scheduled&after=1:2:3", "start=-1&state=waiting"]
    + ["before=1e999:a:b", "q=%00", "handler=%ff", "error=" + "x" * 5000, "q=a:b:c"],
)
def test_odd_parameters(queue: Queue, web: Web, query: str) -> None:
    fail(queue)
    text(web("view_job", "view_job_payload"), f"{JOBS}?{query}")


def test_a_job_whose_unique_key_is_held_stays(queue: Queue, web: Web) -> None:
    held, free = fail(queue, unique="u"), fail(queue)
    queue.push(None, "mail", unique="u")
    user = web("view_job", "retry_job")
    data = {"action": "retry", "job": [f"email:{held}", f"email:{free}"]}
    html = user.post(JOBS, data, follow=True).content.decode()
    assert "1 job is retried." in html
    assert "1 job stays: another one of its unique key waits or runs." in html
    assert "moved on" not in html


def test_a_score_may_be_infinite(queue: Queue, client: Redis, web: Web) -> None:
    jobs = {queue.push(delay=60 + number) for number in range(60)}
    client.zadd(f"{queue.root}:scheduled", dict.fromkeys(jobs, float("inf")))
    user, found = web("view_job"), set()
    first = user.get(f"{JOBS}?state=scheduled").context
    for context in (first, user.get(JOBS + first["on"]).context):
        found |= {row.id for row in context["page"].rows}
    assert found == jobs


@pytest.mark.parametrize("count", ["x", "-3", "9" * 5000])
def test_a_group_whose_count_is_nonsense_is_left_out(
    queue: Queue, client: Redis, web: Web, count: str
) -> None:
    fail(queue)
    client.hset(f"{queue.root}:groups", "odd odd.Error", count)
    errors = web("view_job").get(JOBS).context["errors"]
    assert [error["group"].count for error in errors] == [1]


def test_a_group_that_is_no_sorted_set_breaks_no_page(
    queue: Queue, client: Redis, web: Web
) -> None:
    fail(queue)
    client.set(f"{queue.root}:group:mail ValueError", "x")
    user = web("view_job", "retry_job")
    for url in (JOBS, f"{JOBS}?time=hour"):
        assert len(user.get(url).context["page"].rows) == 1


def test_cancel_selected(queue: Queue, web: Web) -> None:
    waiting, later, user = queue.push(), queue.push(delay=60), web("view_job", "cancel_job")
    for name, id in (("waiting", waiting), ("scheduled", later)):
        assert f'value="email:{id}"' in text(user, f"{JOBS}?state={name}")
        user.post(f"{JOBS}?state={name}", {"action": "cancel", "job": f"email:{id}"})
        assert state(queue, id) == "gone"
    assert LogEntry.objects.filter(action_flag=3).count() == 2


def test_counts_and_new_failures_are_kept_up_to_date(queue: Queue, web: Web) -> None:
    fail(queue, handler="a")
    user = web("view_job")
    context = user.get(f"{JOBS}?handler=a").context
    found = user.get(context["live_url"]).json()
    assert found["text"]["tab:failed"] == "1"
    assert found["text"]["news"] == ""
    fail(queue, handler="a")
    fail(queue, handler="b")
    found = user.get(context["live_url"]).json()
    assert found["text"]["tab:failed"] == "3"
    assert found["text"]["news"] == "1 new failure: show"


def test_an_empty_list_says_what_would_be_there(client: Redis, web: Web) -> None:
    user = web("view_job")
    assert "No failed jobs." in text(user, JOBS)
    assert "No results are kept." in text(user, f"{JOBS}?state=succeeded")
    for name in ("scheduled", "waiting", "running"):
        assert f"Nothing is {name}." in text(user, f"{JOBS}?state={name}")
    assert "Clear all filters" in text(user, f"{JOBS}?handler=x")
