"""What runs at once and how often, over all workers: of a queue, and of a limit key."""

import hashlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from django_jobs import push_job
from django_jobs.claims import claim_call, read_claim, sweep_call
from django_jobs.conf import problems
from django_jobs.connection import get_queue
from django_jobs.exceptions import OptionError, PushError
from django_jobs.invariants import check
from django_jobs.job import Claimed
from django_jobs.limits import Limits
from django_jobs.line import run
from django_jobs.monitor.counts import oldest_waits
from django_jobs.monitor.live import waiting_page
from django_jobs.options import NewJob, new_job
from django_jobs.queue import Queue
from tests.conftest import Runjobs, free_port, start_redis, wait_until
from tests.processes import lines, ran
from tests.test_transitions import LEASE, WHY, claim, dump, register

NAP = {"seconds": 0.005}


def proofs(jobs: list[Claimed]) -> list[tuple[str, int]]:
    return [(job.id, job.token) for job in jobs]


def push_keyed(queue: Queue, key: str, times: int = 1, limit: int = 2, **options: Any) -> list[str]:
    return [queue.push({}, "h", limit_key=key, limit=limit, **options) for _ in range(times)]


def look(queue: Queue, number: int, slots: int = 10, ahead: int = 0) -> Any:
    """Claim, and return the whole answer."""
    call = claim_call([queue], "w1", number, LEASE, slots=slots, ahead=ahead)
    return read_claim(run(queue.client, call), [queue])


def most_at_once(ledger: Path, ids: set[str] | None = None) -> int:
    """Return how many jobs (of these) ran at the same time at most."""
    running = most = 0
    for event in sorted(lines(ledger), key=lambda event: event.at):
        if ids is None or event.id in ids:
            running += 1 if event.what == "began" else -1
            most = max(most, running)
    return most


# Limits of a queue.


def test_no_more_run_than_the_concurrency_and_none_is_claimed_ahead(queue: Queue) -> None:
    for _ in range(5):
        queue.push()
    queue.limit(Limits(concurrency=3))
    register(queue, "w1", "w2")
    first = look(queue, 1, slots=2, ahead=10)
    assert len(first.jobs) == 2
    assert first.left
    assert len(claim(queue, "w2")) == 1
    full = look(queue, 2)
    assert (full.jobs, full.left, full.limited) == ([], False, True)
    queue.client.delete("jobs:email:wake")
    run(queue.client, queue.settle_succeeded("w1", proofs(first.jobs[:1])))
    assert queue.client.exists("jobs:email:wake"), "who settles makes room, and says so"
    assert len(claim(queue, number=3)) == 1


def test_what_a_limited_queue_gives_counts_for_the_room_of_all(queue: Queue) -> None:
    other = Queue("other", queue.client)
    for _ in range(3):
        queue.push()
        other.push()
    queue.limit(Limits(concurrency=2))
    register(queue, "w1")
    register(other, "w1")
    call = claim_call([queue, other], "w1", 1, LEASE, slots=3)
    jobs = read_claim(run(queue.client, call), [queue, other]).jobs
    assert [job.queue for job in jobs] == ["email", "email", "other"]


def test_the_rate_is_smooth_and_says_when_to_look_again(queue: Queue) -> None:
    for _ in range(20):
        queue.push()
    queue.limit(Limits(rate="20/s"))  # two at once: a tenth of a second's worth
    register(queue, "w1")
    first = look(queue, 1)
    assert (len(first.jobs), first.left, first.limited) == (2, False, True)
    assert first.look is not None
    assert 0 < first.look <= 0.05
    began, taken = time.monotonic(), 0
    wait_until(lambda: look(queue, number()).jobs)
    while taken < 8:
        taken += len(look(queue, number()).jobs)
    assert time.monotonic() - began == pytest.approx(9 / 20, abs=0.06)


numbers = iter(range(10, 10**9))


def number() -> int:
    return next(numbers)


def test_what_is_released_gives_its_share_of_the_rate_back(queue: Queue) -> None:
    for _ in range(3):
        queue.push()
    queue.limit(Limits(rate="1/h"))
    register(queue, "w1")
    (job,) = claim(queue)
    assert claim(queue, number=2) == []
    run(queue.client, queue.release("w1", proofs([job])))
    assert [again.id for again in claim(queue, number=3)] == [job.id]
    assert claim(queue, number=4) == []


def test_a_clock_that_was_set_back_does_not_stop_the_rate(queue: Queue, client: Redis) -> None:
    queue.push()
    queue.limit(Limits(rate="20/s"))
    client.hset("jobs:email:meta", "paid_until", 10**13)
    register(queue, "w1")
    assert claim(queue)


def test_an_operator_goes_before_the_settings_and_the_newest_settings_before_older(
    queue: Queue, client: Redis
) -> None:
    def configure(age: float, text: str) -> int:
        return int(run(client, queue.configure(age, text)))

    assert configure(100, "") == 0
    assert not client.exists("jobs:email:meta"), "nothing to say, nothing written"
    assert configure(100, str(Limits(concurrency=20))) == 1
    assert queue.limits() == Limits(concurrency=20)
    assert configure(50, str(Limits(concurrency=10, rate="50/s"))) == 1
    assert configure(101, str(Limits(concurrency=20))) == 0, "an older release says what it said"
    assert queue.limits() == Limits(concurrency=10, rate="50/s")
    assert queue.limit(Limits())
    assert queue.limits() == Limits()
    assert configure(1, str(Limits(concurrency=7))) == 1
    assert queue.limits() == Limits()
    assert queue.limit_as_set()
    assert not queue.limit_as_set()
    assert queue.limits() == Limits(concurrency=7)
    client.hset("jobs:email:meta", "settings_at", 10**13)  # written before the clock was set back
    assert configure(2, "") == 1
    assert queue.limits() == Limits()


def test_runjobs_puts_the_limits_of_the_settings_in_force(runjobs: Runjobs, ledger: Path) -> None:
    ids = [push_job("test.nap", NAP, queue="limited") for _ in range(40)]
    tree = runjobs(
        *("--drain", "--processes", "2"), DJANGO_SETTINGS_MODULE="tests.settings_limited"
    )
    assert tree.wait(30) == 0, tree.output
    assert ran(ledger) == Counter(ids), "a drain waits for limits"
    assert most_at_once(ledger) <= 2
    assert get_queue("limited").limits() == Limits(concurrency=2, rate="500/s")


def test_a_redis_that_lost_its_data_hears_of_the_limits_before_it_knows_a_worker(
    runjobs: Runjobs, tmp_path: Path
) -> None:
    port = free_port()
    server = start_redis(port, str(tmp_path))
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings_limited"}
    runjobs("--queues", "limited", **env, REDIS_URL=f"redis://127.0.0.1:{port}/0")
    for _ in range(2):
        queue = Queue("limited", Redis(port=port, protocol=2))
        wait_until(lambda: queue.client.zcount("jobs:limited:workers", "(0", "+inf"), 30)
        assert queue.limits() == Limits(concurrency=2, rate="500/s")
        server.kill()
        server.wait(10)
        queue.client.close()
        server = start_redis(port, str(tmp_path))
    server.kill()
    server.wait(10)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("50/s", "rate=50/s burst=5"),
        ("1000/h", "rate=1000/h burst=1"),
        ("600/m burst 20", "rate=600/m burst=20"),
        ("600/m burst 2", "rate=600/m burst=2"),
        ("50/s burst 1", "rate=50/s burst=1"),
    ],
)
def test_a_rate_is_written_with_its_burst_and_read_as_it_was_said(text: str, word: str) -> None:
    assert str(Limits(rate=text)) == word
    assert Limits.read(word) == Limits(rate=text)


@pytest.mark.parametrize("rate", ["50", "0/s", "1.5/s", "50/w", "50/s burst", "-1/s", 50])
def test_a_bad_rate_is_a_system_check_error(rate: object) -> None:
    (problem,) = problems({"QUEUES": {"email": {"RATE_LIMIT": rate}}})
    assert problem.startswith("QUEUES['email']: RATE_LIMIT: ")
    assert repr(rate) in problem
    assert "50/s" in problem


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "4"])
def test_a_bad_concurrency_is_a_system_check_error(value: object) -> None:
    (problem,) = problems({"CONCURRENCY": value})
    assert problem.startswith(f"CONCURRENCY: {value!r} is not")


# Limit keys.


def test_keys_take_turns_and_keep_to_their_limit(queue: Queue) -> None:
    big, small = push_keyed(queue, "customer:1", 5), push_keyed(queue, "customer:2", 1)
    assert queue.stats().active == 6
    register(queue, "w1")
    answer = look(queue, 1)
    assert [job.id for job in answer.jobs] == [big[0], small[0], big[1]]
    assert (answer.left, answer.limited) == (False, True)
    assert check(queue) == []
    queue.client.delete("jobs:email:wake")
    run(queue.client, queue.settle_failed("w1", [(*proofs(answer.jobs)[0], WHY)]))
    assert queue.client.exists("jobs:email:wake")
    assert [job.id for job in claim(queue, number=2)] == [big[2]]


@pytest.mark.parametrize("end", ["succeeded", "kept", "failed", "again", "released", "recovered"])
def test_every_end_of_a_run_frees_the_key(queue: Queue, client: Redis, end: str) -> None:
    (id,) = push_keyed(queue, "k", limit=1)
    (other,) = push_keyed(queue, "k", limit=1)
    register(queue, "w1")
    (job,) = claim(queue)
    proof = (job.id, job.token)
    calls = {
        "succeeded": lambda: queue.settle_succeeded("w1", [proof]),
        "kept": lambda: queue.settle_kept("w1", [(*proof, 60.0, "1")]),
        "failed": lambda: queue.settle_failed("w1", [(*proof, WHY)]),
        "again": lambda: queue.settle_retry("w1", [(*proof, 0.0, WHY)]),
        "released": lambda: queue.release("w1", [proof]),
        "recovered": lambda: queue.recover([(*proof, "w1")], WHY),
    }
    call = calls[end]()
    run(client, call)
    run(client, call)  # said twice, counted once
    assert check(queue) == []
    first = id if end in ("released", "recovered") else other
    assert [job.id for job in claim(queue, number=2)] == [first]
    assert claim(queue, number=3) == []
    assert check(queue) == []


def test_when_all_has_ended_nothing_of_a_key_is_left(queue: Queue, client: Redis) -> None:
    push_keyed(queue, "k", 3)
    register(queue, "w1")
    for turn in (1, 2):
        run(client, queue.settle_succeeded("w1", proofs(claim(queue, number=turn))))
    kinds = {key.split(b":")[2] for key in dump(client)}
    assert kinds == {b"queue", b"workers", b"claims", b"wake", b"meta"}


def test_a_scheduled_job_waits_for_its_key_when_it_is_due(queue: Queue, client: Redis) -> None:
    (late,) = push_keyed(queue, "k", limit=1, delay=3600)
    (now,) = push_keyed(queue, "k", limit=1)
    client.zadd("jobs:email:scheduled", {late: 1})
    register(queue, "w1")
    (job,) = claim(queue)
    assert job.id == now
    run(client, queue.settle_succeeded("w1", proofs([job])))
    assert [job.id for job in claim(queue, number=2)] == [late]


def test_the_last_push_says_the_limit_of_a_key(queue: Queue) -> None:
    push_keyed(queue, "k", 4, limit=1)
    register(queue, "w1")
    (first,) = claim(queue)
    push_keyed(queue, "k", limit=3)
    assert len(claim(queue, number=2)) == 2
    push_keyed(queue, "k", limit=1)
    run(queue.client, queue.settle_succeeded("w1", proofs([first])))
    assert claim(queue, number=3) == []
    assert check(queue) == []


def test_an_operator_takes_a_job_out_of_its_key(queue: Queue) -> None:
    ids = push_keyed(queue, "k", 5, limit=1)
    assert queue.cancel(ids[0])
    assert queue.fail(ids[1], "no")
    assert queue.stats().active == 3
    assert check(queue) == []
    register(queue, "w1")
    assert [job.id for job in claim(queue)] == [ids[2]]
    assert queue.retry(ids[1])
    assert queue.empty() == (3, 3)
    assert queue.stats().active == 0
    assert check(queue) == []


def test_a_key_and_the_list_both_get_on(queue: Queue) -> None:
    """By the clock's parity one of them is first: neither waits until the other is empty."""
    for _ in range(60):
        queue.push({}, "plain")
    push_keyed(queue, "k", 60, limit=1000)
    register(queue, "w1")
    handlers: Counter[str] = Counter()

    def both() -> bool:
        handlers.update(job.handler for job in look(queue, number(), slots=1).jobs)
        return len(handlers) == 2

    wait_until(both)
    assert handlers.total() < 60


def test_a_job_that_lost_its_hash_does_not_block_its_key(queue: Queue, client: Redis) -> None:

    push_keyed(queue, "k", 2, limit=1)
    register(queue, "w1")
    (job,) = claim(queue)
    client.delete(f"jobs:email:job:{job.id}")
    client.hdel("jobs:email:processing", job.id)
    run(client, sweep_call([queue], "w1", 1000, [b"0"], [None]))
    assert len(claim(queue, number=2)) == 1
    assert check(queue) == []


def test_check_names_a_key_that_was_forgotten(queue: Queue, client: Redis) -> None:
    push_keyed(queue, "k", 2)
    client.delete("jobs:email:ring")
    client.hset("jobs:email:running", "x", 3)
    running, turn = check(queue)
    assert running == "running counts 3 jobs with a limit key; keyed has 0."
    assert turn.endswith("has work and room, and no turn in ring.")


def test_a_key_of_a_wrong_type_stops_its_own_queue_and_says_so(queue: Queue, client: Redis) -> None:
    push_keyed(queue, "k")
    client.delete("jobs:email:limit")
    client.set("jobs:email:limit", "x")
    register(queue, "w1")
    answer = look(queue, 1)
    assert answer.jobs == []
    assert answer.states[queue.name].startswith("limit: ")
    assert queue.stats().active == 1


def test_a_list_of_a_wrong_type_stops_its_own_key_and_says_so(queue: Queue, client: Redis) -> None:
    push_keyed(queue, "broken", 2, limit=1)
    register(queue, "w1")
    (held,) = claim(queue)
    urgent, plain = queue.push({}, "h", priority=5), queue.push({}, "h")
    (other,) = push_keyed(queue, "k")
    name = f"jobs:email:key:{hashlib.sha1(b'broken').hexdigest()}"
    client.delete(name)
    client.set(name, "x")
    client.zadd("jobs:email:ring", {name.rpartition(":")[2]: 0})
    client.hdel("jobs:email:running", name.rpartition(":")[2])
    assert {job.id for job in look(queue, number()).jobs} == {urgent, plain, other}
    assert run(client, queue.settle_succeeded("w1", proofs([held]))) == [1]
    assert check(queue) == [f"{name} is not a list."]
    with pytest.raises(PushError, match="WRONGTYPE"):
        push_keyed(queue, "broken")
    assert queue.stats().active == 1, "a push that was refused left nothing"


def test_a_limit_that_nobody_understands_is_none(queue: Queue, client: Redis) -> None:
    queue.push()
    client.hset("jobs:email:meta", "limits", "rate=5/w burst=1 nonsense")
    register(queue, "w1")
    assert len(claim(queue)) == 1


def test_waiting_jobs_with_a_key_are_seen(queue: Queue) -> None:
    plain = queue.push()
    keyed = push_keyed(queue, "k", 3)
    last = queue.push(priority=-1)
    assert [row.id for row in waiting_page([queue]).rows] == [plain, *keyed, last]
    assert [row.id for row in waiting_page([queue], 2, 2).rows] == keyed[1:]
    queue.cancel(plain)
    assert 0 < oldest_waits([queue])[queue.name] < 60


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"limit_key": "k"}, "limit is None"),
        ({"limit": 2}, "limit_key is None"),
        ({"limit_key": "", "limit": 2}, "limit_key is ''"),
        ({"limit_key": "\ud800", "limit": 2}, "surrogates"),
        ({"limit_key": "k", "limit": 0}, "limit is 0"),
        ({"limit_key": "k", "limit": 1, "priority": 3}, "no priority"),
    ],
)
def test_bad_options_name_the_handler(queue: Queue, options: Any, word: str) -> None:
    with pytest.raises(OptionError, match=word) as caught:
        queue.push({}, "shop.sync", **options)
    assert "'shop.sync'" in str(caught.value)


# Under load.


def hammer(runjobs: Runjobs, ledger: Path, seconds: float) -> None:
    """Let 4 workers of 8 threads work for some seconds."""
    trees = [runjobs("--concurrency", "8") for _ in range(4)]
    wait_until(lambda: lines(ledger), 20)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > seconds, seconds + 5)
    for tree in trees:
        tree.terminate()
    assert [tree.wait(30) for tree in trees] == [0] * 4, trees[0].output


def test_four_workers_never_run_one_job_too_many(runjobs: Runjobs, ledger: Path) -> None:
    queue = get_queue()
    queue.limit(Limits(concurrency=5))
    for _ in range(20_000 // 200):
        queue.add([new(queue) for _ in range(200)])
    hammer(runjobs, ledger, 10)
    assert most_at_once(ledger) == 5
    assert len(ran(ledger)) > 1000
    assert check(queue) == []


def new(queue: Queue, **options: Any) -> NewJob:

    return new_job(NAP, handler="test.nap", queue=queue.name, limit=10**6, options=options)


def test_four_workers_keep_the_rate_within_two_percent(runjobs: Runjobs, ledger: Path) -> None:
    queue = get_queue()
    queue.limit(Limits(rate="100/s"))
    queue.add([new(queue) for _ in range(3000)])
    hammer(runjobs, ledger, 11)
    starts = sorted(event.at for event in lines(ledger) if event.what == "began")
    first = starts[20]
    in_window = sum(first <= at < first + 10 for at in starts)
    assert in_window == pytest.approx(1000, rel=0.02)


def test_four_workers_keep_each_key_to_its_limit_and_are_fair(
    runjobs: Runjobs, ledger: Path
) -> None:
    queue = get_queue()
    keys: dict[str, set[str]] = {}

    def push(key: str, times: int) -> None:
        jobs = [new(queue, limit_key=key, limit=2) for _ in range(times)]
        queue.add(jobs)
        keys.setdefault(key, set()).update(job.id for job in jobs)

    push("big", 4000)
    for customer in range(50):
        push(f"small:{customer}", 1)
    hammer(runjobs, ledger, 10)
    for ids in keys.values():
        assert most_at_once(ledger, ids) <= 2
    order = [event.id for event in lines(ledger) if event.what == "began"]
    last_small = max(n for n, id in enumerate(order) if id not in keys["big"])
    assert last_small < 400, "one customer's thousands delay another's one"
    assert len(order) > 1000
    assert check(queue) == []
