"""What `check` names and what it leaves alone; and the state machine, which checks each step."""

import os
from collections.abc import Callable
from threading import Event, Thread

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from django_jobs import invariants, scanning
from django_jobs.claims import read_held, sweep_call
from django_jobs.invariants import check
from django_jobs.line import run
from django_jobs.queue import Queue
from tests.machine import SETTINGS, Machine
from tests.test_transitions import WHY, claim, dump, held, register

# By default the same examples in each run; a longer run prints what repeats it.
EXAMPLES = int(os.environ.get("JOBS_EXAMPLES", "80"))


@pytest.fixture
def queue(client: Redis) -> Queue:
    """A queue with jobs in every state, and with what operators leave behind."""
    queue = Queue("email", client)
    failed, _ = held(queue).id, held(queue, worker="w2").id
    assert run(client, queue.settle_failed("w1", [(failed, 1, WHY)])) == [1]
    client.zadd("jobs:email:failed", {failed: 1})  # the oldest
    queue.push(delay=60)
    queue.push(priority=1)
    cancelled, stopped, back, _ = (queue.push() for _ in range(4))
    assert queue.cancel(cancelled)
    assert queue.fail(stopped, "wrong")
    assert queue.fail(back, "wrong")
    assert queue.retry(back)
    client.lpush("jobs:email:active", b"garbage \xff")
    return queue


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("PAGE", 3), ("MOMENT", 2), ("CHUNK", 4)):
        monkeypatch.setattr(scanning if name == "PAGE" else invariants, name, size)


def test_a_healthy_queue_gives_nothing(queue: Queue, client: Redis) -> None:
    assert check(queue) == []
    client.flushall()
    assert check(queue) == []


def test_check_only_reads(queue: Queue, client: Redis) -> None:
    before = dump(client)
    client.config_resetstat()
    check(queue)
    used = set(client.info("commandstats")) - {"cmdstat_config|resetstat"}
    assert used <= {
        f"cmdstat_{name}"
        for name in "type scan hscan zscan zcard zscore zrange lrange llen hget hlen hvals hmget hexists zmscore exists watch multi exec".split()
    }
    assert dump(client) == before


# Each way to be wrong: what is done to one job (or to the queue), and what is said of it.

Break = Callable[[Redis, str], object]
JOB = "jobs:email:job:"
WRONGS: list[tuple[str, Break, str]] = [
    ("active", lambda c, id: c.rpush("jobs:email:active", id), "is active and is in active (2 times)"),
    ("active", lambda c, id: c.lrem("jobs:email:active", 0, id), "is active and is in no place"),
    ("active", lambda c, id: c.hset("jobs:email:processing", id, "w2"), "is active and is in processing and active"),
    ("active", lambda c, id: c.hset(JOB + id, "state", "failed"), "is failed and is in active"),
    ("active", lambda c, id: c.hset(JOB + id, "state", "lost"), "is lost and is in active"),
    ("active", lambda c, id: c.hset(JOB + id, "attempts", 6), "has made 6 attempts of 5"),
    ("active", lambda c, id: c.hset(JOB + id, "attempts", 1), "has made 1 attempts with 0 claims"),
    ("active", lambda c, id: c.hdel(JOB + id, "payload"), "has lost its payload"),
    ("priority", lambda c, id: c.zrem("jobs:email:priority", id), "is active and is in no place"),
    ("priority", lambda c, id: c.rpush("jobs:email:active", id), "is in active (2 times)"),
    ("processing", lambda c, id: c.hdel("jobs:email:processing", id), "is processing and is in no place"),
    ("processing", lambda c, id: c.delete(JOB + id), "is in processing and has no hash"),
    ("processing", lambda c, id: c.hset(JOB + id, "attempts", 0), "runs and its attempt was not counted"),
    ("processing", lambda c, id: c.zrem("jobs:email:workers", "w2"), "is held by w2, which is not among the workers"),
    ("failed", lambda c, id: c.hdel(JOB + id, "exception"), "does not say why it failed"),
    ("failed", lambda c, id: c.delete(JOB + id), "is in failed and has no hash"),
    ("failed", lambda c, id: (c.delete(JOB + id), c.set(JOB + id, "text")), "is in failed and has no hash"),
    ("failed", lambda c, id: c.zadd("jobs:email:scheduled", {id: 1}), "is failed and is in failed and scheduled"),
    ("failed", lambda c, id: c.hdel(JOB + id, "group"), "does not say why it failed"),
    ("scheduled", lambda c, id: c.zrem("jobs:email:scheduled", id), "is scheduled and is in no place"),
    ("scheduled", lambda c, id: c.delete(JOB + id), "is in scheduled and has no hash"),
]  # fmt: skip


@pytest.mark.parametrize("place, break_it, said", WRONGS, ids=[said for *_, said in WRONGS])
def test_what_is_wrong_with_a_job_is_named(
    queue: Queue, client: Redis, place: str, break_it: Break, said: str
) -> None:
    members = {
        "active": lambda: client.lrange("jobs:email:active", 1, 1),  # pushed last but for garbage
        "processing": lambda: client.hkeys("jobs:email:processing"),
    }.get(place, lambda: client.zrange(f"jobs:email:{place}", 0, 0))
    id = members()[0].decode()
    break_it(client, id)
    sentences = check(queue)
    assert all(sentence.startswith(f"Job {id} ") for sentence in sentences)
    assert any(sentence.endswith(f"{said}.") for sentence in sentences)


def test_wrong_groups_are_named(queue: Queue, client: Redis) -> None:
    (name, count), *_ = client.hgetall("jobs:email:groups").items()
    client.hincrby("jobs:email:groups", name, 1)
    said = f"groups says that {int(count) + 1} jobs are in {name.decode()}; {int(count)} are."
    assert check(queue) == [said]
    client.hset("jobs:email:groups", name, count)
    failed = queue.stats().failed
    client.zpopmin(b"jobs:email:group:" + name)
    assert f"{failed} jobs are in failed, and {failed - 1} in its groups." in check(queue)


def test_a_wrong_count_and_what_left_the_list_uncounted_are_named(
    queue: Queue, client: Redis
) -> None:
    client.hincrby("jobs:email:counts", "cancelled", 1)
    count = "counts says that {} ids in the list are of stopped jobs; {} are."
    assert check(queue) == [count.format(3, 2)]
    client.hincrby("jobs:email:counts", "cancelled", -1)
    ids = client.lrange("jobs:email:active", 0, -1)
    (cancelled,) = (id for id in ids if client.hget(JOB.encode() + id, "state") == b"cancelled")
    client.lrem("jobs:email:active", 1, cancelled)
    said = f"Job {cancelled.decode()} says that it is cancelled and is in no place."
    assert check(queue) == [said, count.format(2, 1)]


@pytest.mark.parametrize("name", list(scanning.INDEXES))
def test_a_key_of_a_wrong_type_is_named(queue: Queue, client: Redis, name: str) -> None:
    client.delete(f"jobs:email:{name}")
    client.set(f"jobs:email:{name}", "text")
    (sentence,) = check(queue)
    assert sentence.startswith(f"jobs:email:{name} is a string, not a ")


def test_of_very_many_the_first_are_named(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "LIMIT", 5)
    queue = Queue("email", client)
    for _ in range(9):
        queue.push()
    client.delete("jobs:email:active")
    *sentences, last = check(queue)
    assert len(sentences) == 5
    assert last == "Only the first 5 are listed."


# Pages, and a queue that moves under them.


@pytest.mark.usefixtures("small_pages")
def test_pages_miss_nothing_and_double_nothing(queue: Queue, client: Redis) -> None:
    ids = [queue.push() for _ in range(30)]
    assert check(queue) == []
    client.rpush("jobs:email:active", ids[-1])
    assert check(queue) == [f"Job {ids[-1]} says that it is active and is in active (2 times)."]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("pushed", [0, 1, 2, 3, 4, 20])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_what_stays_in_a_list_that_moves_is_seen_once(
    client: Redis, pushed: int, taken: int
) -> None:
    queue, key = Queue("email", client), "jobs:email:active"
    client.lpush(key, *range(40))
    before, seen = client.lrange(key, 0, -1), []
    for page in scanning.list_pages(queue):
        seen += page
        client.lpush(key, *(f"new{len(seen)}-{n}" for n in range(pushed))) if pushed else None
        client.rpop(key, taken) if taken else None
        assert len(seen) <= 40
    stayed = [id for id in before if id in client.lrange(key, 0, -1)]
    assert [id for id in seen if id in stayed] == stayed
    assert len(seen) == len(set(seen))


@pytest.mark.usefixtures("small_pages")
def test_nothing_is_wrong_with_a_queue_that_moves(queue: Queue) -> None:
    over = Event()

    def move() -> None:
        while not over.is_set():
            id = queue.push()
            queue.fail(id, "moved")
            queue.retry(id)
            queue.pull(lambda job: None)

    movers = [Thread(target=move) for _ in range(2)]
    for mover in movers:
        mover.start()
    try:
        found = [sentence for _ in range(40) for sentence in check(queue)]
    finally:
        over.set()
        for mover in movers:
            mover.join()
    assert found == check(queue) == []


def test_scripts_and_model_agree_at_each_step(client: Redis) -> None:
    run_state_machine_as_test(
        lambda: Machine(client),
        settings=settings(
            SETTINGS,
            max_examples=EXAMPLES,
            derandomize="JOBS_EXAMPLES" not in os.environ,
            phases=[Phase.generate, Phase.shrink],
            print_blob=True,
        ),
    )


# What the machine found, or what was found beside it.


def test_garbage_that_comes_again_leaves_the_job_made_of_it_alone(client: Redis) -> None:
    queue = Queue("email", client)
    register(queue, "w1")
    client.lpush("jobs:email:active", b"\xff")
    assert claim(queue) == []
    (record,) = queue.failed()
    assert queue.retry(record.id)
    (again,) = claim(queue, number=2)
    client.lpush("jobs:email:active", b"\xff")
    assert claim(queue, number=3) == []
    assert check(queue) == []
    assert run(client, queue.settle_succeeded("w1", [(again.id, again.token)])) == [1]
    assert check(queue) == []


@pytest.mark.parametrize("answered", [False, True])
def test_a_worker_that_was_suspected_and_closed_is_forgotten(client: Redis, answered: bool) -> None:
    queue = Queue("email", client)
    look = sweep_call([queue], "nobody", 1000.0, [b"0"], [None])
    register(queue, "w1")
    client.zadd("jobs:email:workers", {"w1": 1})
    run(client, look)
    run(client, queue.close("w1", answered=answered))
    client.zadd("jobs:email:workers", {"w1": -1}, xx=True)
    run(client, look)
    assert client.keys() == []


def test_held_names_a_job_that_was_retried_and_claimed_again_unheard(client: Redis) -> None:
    """A retry and the claim that took it again were done, and both answers were lost."""
    queue = Queue("email", client)
    id = queue.push({}, "h")
    register(queue, "w1")
    claim(queue)
    run(client, queue.settle_retry("w1", [(id, 1, 0.0, WHY)]))
    claim(queue, number=2)
    answer = read_held(run(client, queue.held("w1", 3, [(id, 1)])))
    assert (answer.stands, answer.unknown) == ([False], [(id, 2)])
