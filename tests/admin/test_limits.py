"""What the pages show of limits and batches."""

import re
from typing import Any

import pytest
from redis import Redis

from django_jobs import push_batch
from django_jobs.admin import live
from django_jobs.admin.attention import notes
from django_jobs.limits import Limits
from django_jobs.line import run
from django_jobs.queue import Queue
from tests.admin.pages import QUEUES, Web, page_of, text
from tests.admin.test_workers import start_worker
from tests.test_batches import fail, succeed, take
from tests.test_jobs_limits import left_open
from tests.test_limits import push_keyed

pytestmark = pytest.mark.django_db


def facts(html: str) -> dict[str, str]:
    """Return the facts of a job's page, without markup."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html, re.DOTALL)
    return {name: re.sub(r"<.*?>", " ", value).strip() for name, value in found}


def test_queues_show_their_limits_and_who_set_them(queue: Queue, web: Web) -> None:
    queue.push()
    user = web("view_queue")
    assert "at once" not in text(user, QUEUES)
    assert "Limits, over all workers" not in text(user, f"{QUEUES}email/change/")
    run(queue.client, queue.configure(0, str(Limits(1200, "50/s"))))
    shape = live.take({"email": queue})
    assert "1,200 at once, 50/s<" in text(user, QUEUES)
    queue.limit(Limits(rate="600/m burst 20"))
    assert "600/m burst 20, set by an operator<" in text(user, QUEUES)
    assert "600/m burst 20, set by an operator<" in text(user, f"{QUEUES}email/change/")
    queue.limit(Limits())
    assert "no limits, set by an operator<" in text(user, QUEUES)
    assert shape.queues[0].limits.by == "settings"


def test_a_page_whose_limits_are_others_by_now_has_to_be_loaded_again(
    queue: Queue, web: Web
) -> None:
    queue.push()
    user = web("view_queue")
    before = user.get(f"{QUEUES}live/").json()["shape"]
    queue.limit(Limits(3))
    text(user, QUEUES)
    assert user.get(f"{QUEUES}live/").json()["shape"] != before


def test_a_job_shows_its_limit_key_and_what_it_waits_for(queue: Queue, web: Web) -> None:
    one, two = push_keyed(queue, "customer:<7>", 2, limit=1)
    user = web("view_job", "view_job_payload")
    found = facts(text(user, page_of(queue, two)))
    assert found["Limit key"].split() == ["customer:&lt;7&gt;", "0", "of", "1", "run"]
    assert "Waits for" not in found
    take(queue)
    assert "Waits for" not in facts(text(user, page_of(queue, one)))
    found = facts(text(user, page_of(queue, two)))
    assert found["Waits for"] == "a job of its limit key to end"
    few = text(web("view_job"), page_of(queue, two))
    assert facts(few)["Limit key"] == "1 of 1 run"
    assert "customer" not in few
    plain = queue.push()
    assert "Limit key" not in facts(text(user, page_of(queue, plain)))
    queue.limit(Limits(1))
    found = facts(text(user, page_of(queue, plain)))
    assert found["Waits for"] == "a job of its queue to end: 1 at once"
    queue.limit(Limits(rate="1/d"))
    take(queue)
    last = queue.push()
    assert facts(text(user, page_of(queue, last)))["Waits for"] == "its turn: 1/d"


@pytest.mark.django_db(transaction=True)
def test_a_job_shows_how_far_its_batch_is(queue: Queue, client: Redis, web: Web) -> None:
    id = push_batch(["test.quick"] * 1001, queue="email")
    one, two, three, *_ = take(queue)
    fail(queue, one)
    succeed(queue, two, three)
    user = web("view_job")
    (said, rest) = facts(text(user, page_of(queue, one.id)))["Batch"].split("ended")
    assert said.split() == [id, "3", "of", "1,001"]
    assert rest.split("  ")[-1].strip() == "2 succeeded, 1 failed, 0 cancelled"
    client.delete(f"jobs:email:batch:{id}")
    assert facts(text(user, page_of(queue, one.id)))["Batch"] == id
    left_open(queue)
    said = facts(text(user, page_of(queue, "1" + "0" * 31)))["Batch"]
    assert "open: not all of it was pushed" in said


def test_a_batch_that_was_left_open_needs_attention(queue: Queue, client: Redis) -> None:
    def said() -> list[str]:
        return [note.text for note in notes(live.take({"email": queue})) if "batch" in note.text]

    left_open(queue, "b" * 32, old=False)
    start_worker(queue, client)
    assert said() == []
    redis: Any = client
    redis.zincrby("jobs:email:batches", -7_200_000, "b" * 32)
    assert said() == [
        "Queue email: the push of a batch broke off, so nothing will follow it: "
        + "b" * 32
        + ". What to do says manage.py jobs doctor."
    ]
    left_open(queue, "c" * 32)
    assert said()[0].startswith("Queue email: the pushes of 2 batches broke off")
