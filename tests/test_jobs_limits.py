"""What operators see and say of limits and batches: `manage.py jobs limit`, `batches`, `batch`."""

from typing import Any

import pytest
from django.core.management import CommandError
from redis import Redis

from django_jobs import get_queue, push_batch
from django_jobs.invariants import check
from django_jobs.limits import Limits
from django_jobs.line import run
from django_jobs.options import NewJob
from django_jobs.queue import Queue
from tests.test_batches import NAP, fail, succeed, take
from tests.test_jobs import both, jobs, parsed
from tests.test_limits import push_keyed

HOURS = 2 * 3_600_000  # ms


@pytest.fixture
def default(client: Redis) -> Queue:
    """The queue `default` of an empty Redis."""
    return get_queue()


def configure(queue: Queue, limits: Limits) -> None:
    run(queue.client, queue.configure(0, str(limits)))


def left_open(queue: Queue, id: str = "0" * 32, *, old: bool = True) -> str:
    """Push a batch that breaks off after its first job."""
    queue.add([NewJob(f"1{id[1:]}", "test.nap", "null", batch=id)])
    if old:
        redis: Any = queue.client
        redis.zincrby(f"{queue.root}:batches", -HOURS, id)
        redis.hincrby(f"{queue.root}:batch:{id}", "created_at", -HOURS)
    return id


# limit


def test_limits_are_shown_with_who_set_them(default: Queue) -> None:
    assert jobs("limit") == "default: no limits\n"
    configure(default, Limits(concurrency=20, rate="50/s"))
    assert jobs("limit", "default") == "default: 20 at once, 50/s, as the settings say\n"
    said = "default: 5 at once, 50/s, set by an operator; the settings say 20 at once, 50/s\n"
    assert jobs("limit", "default", "--concurrency", "5") == said
    assert default.limits() == Limits(5, "50/s"), "what is not said stays"
    value = {"concurrency": 5, "rate": "600/m burst 20", "set_by": "operator"}
    assert parsed("limit", "default", "--rate", "600/m burst 20") == {"default": value}
    assert default.limits() == Limits(5, "600/m burst 20")
    assert jobs("limit", "default", "--rate", "none").startswith("default: 5 at once, set by")
    assert jobs("limit", "default", "--none").startswith("default: no limits, set by an operator;")
    assert default.limits() == Limits()
    said = "default: 20 at once, 50/s, as the settings say\n"
    assert jobs("limit", "default", "--as-set") == said
    assert default.limits() == Limits(20, "50/s")


def test_limits_are_set_for_several_queues_that_are_named(default: Queue) -> None:
    get_queue("email").push()
    said = jobs("limit", "default", "email", "--concurrency", "2")
    assert said.count("2 at once, set by an operator; the settings say no limits") == 2
    get_queue("email").limit_as_set()
    assert jobs("limit").splitlines()[1] == "email: no limits"
    with pytest.raises(CommandError, match="Say which queues by their names"):
        jobs("limit", "--concurrency", "3")
    assert default.limits() == Limits(2)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--concurrency", "0"], "'0' is not a whole number"),
        (["--concurrency", "x"], "'x' is not a whole number"),
        (["--rate", "50"], "'50' is no rate like '50/s'"),
        (["--none", "--as-set"], "Say --concurrency and --rate, or --none, or --as-set"),
        (["--none", "--rate", "1/s"], "Say --concurrency and --rate, or --none"),
    ],
)
def test_bad_limits_change_nothing(default: Queue, words: list[str], why: str) -> None:
    default.limit(Limits(7))
    with pytest.raises(CommandError, match=why):
        jobs("limit", "default", *words)
    assert default.limits() == Limits(7)


def test_stats_show_the_limits_of_queues_that_have_some(default: Queue) -> None:
    get_queue("email").push()
    default.limit(Limits(20, "50/s"))
    default.pause()
    _, limited, free = jobs("stats").splitlines()
    assert limited.endswith("           -  paused  20 at once, 50/s")
    assert free.endswith("s")
    value = parsed("stats")
    assert (value["default"]["concurrency"], value["default"]["rate"]) == (20, "50/s")
    assert (value["email"]["concurrency"], value["email"]["rate"]) == (None, None)


# show


def test_show_says_what_a_job_waits_for(default: Queue) -> None:
    one, two, other = (*push_keyed(default, "customer:ö", 2, limit=1), default.push({}, "h"))
    assert "waits for" not in jobs("show", one)
    assert "  limit key customer:ö (0 of 1 run)\n" in jobs("show", one)
    default.limit(Limits(rate="1/h"))
    take(default)
    running = one if default.job(one).state == "processing" else other  # type: ignore[union-attr]
    assert "waits for" not in jobs("show", running)
    later = default.push({}, "h")
    assert "  waits for its turn: 1/h\n" in jobs("show", later)
    default.limit(Limits(concurrency=1))
    assert "  waits for a job of its queue to end: 1 at once\n" in jobs("show", later)
    default.limit(Limits())
    take(default)
    assert "  limit key customer:ö (1 of 1 run)\n" in jobs("show", two)
    assert "  waits for a job of its limit key to end\n" in jobs("show", two)
    value = parsed("show", two)
    assert (value["limit_key"], value["limit"]) == ("customer:ö", 1)
    assert (value["limit_key_runs"], value["waits_for"]) == (1, "key")
    scheduled = default.push({}, "h", limit_key="new", limit=9, delay=60)
    assert "  limit key new (0 of 9 run)\n" in jobs("show", scheduled)


def test_show_tells_how_far_the_batch_of_a_job_is(default: Queue, client: Redis) -> None:
    id = push_batch([NAP] * 3)
    first, *_ = take(default)
    fail(default, first)
    assert f"  batch     {id} (1 of 3 jobs ended)\n" in jobs("show", first.id)
    client.delete(f"jobs:default:batch:{id}")
    assert f"  batch     {id} (forgotten)\n" in jobs("show", first.id)


# batches, batch


def test_batches_that_are_not_done_are_listed_the_oldest_first(default: Queue) -> None:
    assert jobs("batches") == "There are no batches that are not done.\n"
    id = push_batch([NAP] * 3, on_success="test.quick")
    old = left_open(get_queue("email"))
    fail(default, take(default)[0])
    head, first, second = jobs("batches").splitlines()
    assert head.split() == "batch queue age jobs waiting succeeded failed cancelled".split()
    assert first.split() == [old, "email", "2h", "open", "1", "0", "0", "0"]
    assert second.split()[3:] == ["3", "2", "0", "1", "0"]
    (value,) = parsed("batches", "--queue", "default")
    assert value.pop("created_at").endswith("+00:00")
    assert value == {
        "id": id,
        "queue": "default",
        "total": 3,
        "waiting": 2,
        "succeeded": 0,
        "failed": 1,
        "cancelled": 0,
        "done": False,
    }


def test_it_says_when_there_are_more_batches(default: Queue) -> None:
    for _ in range(101):
        push_batch([NAP])
    said, noted = both("batches")
    assert len(said.splitlines()) == 101
    assert noted == "Of each queue only the oldest 100 are shown.\n"


def test_one_batch_is_shown_by_its_id(default: Queue) -> None:
    id = push_batch([NAP] * 2)
    one, two = take(default)
    assert f"Batch {id} of queue default: 0 of 2 jobs ended\n" in jobs("batch", id)
    succeed(default, one)
    fail(default, two)
    lines = jobs("batch", f"default:{id}").splitlines()
    assert lines[0] == f"Batch {id} of queue default: done"
    assert lines[2:] == [
        "  waiting    0",
        "  succeeded  1",
        "  failed     1",
        "  cancelled  0",
    ]
    value = parsed("batch", id)
    assert (value["succeeded"], value["done"]) == (1, True)
    for wrong in ("x", f"email:{id}", "é:\x1b"):
        with pytest.raises(CommandError, match="There is no batch"):
            jobs("batch", wrong)


def test_an_open_batch_is_closed_with_the_jobs_it_has(default: Queue) -> None:
    id = left_open(default)
    default.add([NewJob("c" * 32, "test.add", "null", batch=id, callback="on_complete")])
    assert "open, not all of it was pushed" in jobs("batch", id)
    said = jobs("batch", id, "--close")
    assert said.startswith(f"Batch {id} of queue default: 0 of 1 job ended\n")
    with pytest.raises(CommandError, match=f"Batch {id} of queue default is not open"):
        jobs("batch", id, "--close")
    succeed(default, *take(default))
    assert default.stats().active == 0, "of what was to follow nobody knows whether it is all"
    assert parsed("batch", id)["done"]
    assert jobs("batches") == "There are no batches that are not done.\n"
    assert check(default) == []
    redis: Any = default.client
    left = redis.keys("jobs:default:batch*")
    assert left
    assert all(redis.ttl(key) > 0 for key in left)


# doctor


def open_batches() -> list[Any]:
    return [row for row in parsed("doctor") if row["id"] == "django_jobs.W006"]


def test_doctor_names_each_batch_that_was_left_open(default: Queue) -> None:
    left_open(default, "a" * 32, old=False)
    long = push_batch([NAP])
    redis: Any = default.client
    redis.zincrby("jobs:default:batches", -HOURS, long)
    assert open_batches() == []
    old = left_open(get_queue("email"))
    (row,) = open_batches()
    assert row["level"] == "warning"
    assert row["message"].startswith(f"Batch {old} of queue email has been open since 20")
    assert "broke off after 1 job" in row["message"]
    (close,) = [line for line in jobs("doctor").splitlines() if old in line and "--close" in line]
    jobs(*close.partition("manage.py jobs ")[2].split())
    assert open_batches() == []
