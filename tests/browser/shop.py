"""A shop's jobs, for the pages to show."""

import json
import time
from copy import copy
from typing import Any

import pytest

from django_jobs.claims import beat_call, claim_call, report_call
from django_jobs.connection import get_queue
from django_jobs.limits import Limits
from django_jobs.line import run, run_many
from django_jobs.options import NewJob
from django_jobs.rhythm import Rhythm
from django_jobs.schedule import Schedule
from django_jobs.version import __version__

QUEUES = ["email", "billing", "images"]
FAILURES: list[tuple[str, str, object, Exception]] = [
    ("email", "shop.send_receipt", {"order_id": 7310}, TimeoutError("mail.example.com: timed out")),
    ("email", "shop.send_receipt", {"order_id": 7311}, TimeoutError("mail.example.com: timed out")),
    ("email", "shop.remind", {"customer_id": 52, "days": 3}, KeyError("address")),
    (
        "billing",
        "shop.capture_payment",
        {"order_id": 7290, "amount": "49.90", "currency": "EUR"},
        ConnectionError("The payment provider answered 503 Service Unavailable."),
    ),
    ("images", "shop.resize", {"product_id": 4, "sizes": [320, 640]}, MemoryError()),
]
HOSTILE = "<script>alert(1)</script>" + "x" * 300


def fail(queue: str, handler: str, payload: object, error: Exception) -> str:
    """Push a job and let it fail for good."""

    def work(job: object) -> None:
        raise copy(error)  # the one and only would gather the frames of all tests

    id = get_queue(queue).push(payload, handler, max_attempts=1)
    with pytest.raises(type(error)):
        get_queue(queue).pull(work)
    return id


def open_shop() -> None:
    """Fill an empty Redis."""
    for failure in FAILURES:
        fail(*failure)
    for order_id in range(7312, 7330):
        get_queue("email").push({"order_id": order_id}, "shop.send_receipt")
    get_queue("email").push({"customer_id": 53, "days": 3}, "shop.remind", delay=86400)
    get_queue("images").push({"product_id": 5, "sizes": [320]}, "shop.resize")
    get_queue("images").pause()
    get_queue("email").limit(Limits(20, "50/s"))
    open_workers()
    fill_history()
    open_schedules()


def open_schedules() -> None:
    """Declare some: in time, paused, overdue, and one that has not run yet."""
    queue, job = get_queue("email"), NewJob("", "shop.remind", '{"days":3}')
    rhythms = {
        "reminders": Rhythm("30 9 * * mon-fri", timezone="Europe/Berlin"),
        "shop.expire_carts": Rhythm(every=300_000),
        "shop.report": Rhythm("0 3 1 * *", timezone="UTC"),
        "stock": Rhythm(every=3_600_000),
    }
    some = [Schedule(name, "email", rhythm, "once", job) for name, rhythm in rhythms.items()]
    run(queue.client, queue.define("shop", 60, some))
    now: int = queue.client.time()[0]  # type: ignore[index]
    for name, rhythm in rhythms.items():
        queue.client.zadd(f"{queue.root}:schedules", {name: rhythm.after(now * 1000)})
    failed = next(queue.failed()).id
    past = [f"{(now - 300 * n) * 1000} pushed {failed if n == 3 else n}" for n in range(20)]
    past[7] = past[7].replace("pushed", "skipped")
    queue.client.hset(f"{queue.root}:schedule:shop.expire_carts", "recent", "\n".join(past))
    queue.client.hset(f"{queue.root}:schedule:stock", "recent", f"{(now - 9000) * 1000} missed")
    queue.client.zadd(f"{queue.root}:schedules", {"stock": (now - 1800) * 1000})
    queue.client.hset(f"{queue.root}:meta", "schedules_at", (now - 1800) * 1000)
    queue.pause_schedule("reminders")
    queue.run_schedule("shop.expire_carts")


def open_workers() -> None:
    """Enter two workers of one `runjobs`; one of them holds jobs."""
    about = {"host": "web-1", "supervisor": 4100, "version": __version__, "state": "running"}
    about |= {"queues": QUEUES, "concurrency": 8, "started": round(time.time()) - 7200}
    said = {
        "w1": json.dumps({**about, "pid": 4101, "busy": 3, "memory": 87}),
        "w2": json.dumps({**about, "pid": 4102, "busy": 0, "memory": 74}),
    }
    queues = [get_queue(name) for name in QUEUES]
    run_many(
        queues[0].client,
        [
            beat_call(queues, 3600, list(said)),
            report_call(queues, said),
            claim_call(queues, "w1", 1, 3600, slots=3),
        ],
    )


def fill_history() -> None:
    """Let an hour have gone by, with more failures in the middle of it, and a day of old ones."""
    queue = get_queue("email")
    redis: Any = queue.client
    now = redis.time()[0]
    for ago in range(60):
        runs, failures = 40 + 17 * ago % 23, 12 if 25 < ago < 31 else ago % 2
        fields = {"runs": runs, "failures": failures, "shop.send_receipt runs": runs}
        fields |= {"shop.send_receipt failures": failures, "shop.send_receipt took:17": runs}
        fields["shop.send_receipt took"] = 98_304 * runs
        fields |= {"shop.send_receipt wait:5": runs}
        redis.hset(f"{queue.root}:minute:{now // 60 - ago}", mapping=fields)
    for number, id in enumerate(redis.zrange(f"{queue.root}:failed", 0, -1)):
        at = (now - 5000 * number) * 1000
        group = redis.hget(f"{queue.root}:job:{id.decode()}", "group").decode()
        redis.zadd(f"{queue.root}:failed", {id: at})
        redis.zadd(f"{queue.root}:group:{group}", {id: at})
