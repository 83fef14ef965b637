"""Each script: seed, call, compare the key space; a refusal writes nothing."""

import hashlib
import multiprocessing
import re
import time
from typing import Any

import pytest
from redis import Redis

from django_jobs.claims import beat_call, claim_call, orphans, read_claim, read_held, sweep_call
from django_jobs.exceptions import PushError
from django_jobs.failure import Failure
from django_jobs.flight import RETRY, FlightTable
from django_jobs.grave import Grave
from django_jobs.job import Claimed
from django_jobs.line import run
from django_jobs.lines import Lines
from django_jobs.options import NewJob
from django_jobs.queue import Queue

LEASE = 15.0
WHY = Failure("ValueError", "no", "w1", "Traceback")
READERS: dict[bytes, Any] = {
    b"string": lambda client, key: client.get(key),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"hash": lambda client, key: client.hgetall(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    b"set": lambda client, key: client.smembers(key),
}


def dump(client: Redis) -> dict[bytes, Any]:
    """Return everything that is in Redis."""
    return {key: READERS[client.type(key)](client, key) for key in sorted(client.keys())}


def register(queue: Queue, *workers: str) -> None:
    run(queue.client, beat_call([queue], LEASE, workers))


def claim(queue: Queue, worker: str = "w1", number: int = 1, **room: int) -> list[Claimed]:
    call = claim_call([queue], worker, number, LEASE, **{"slots": 10, **room})
    return read_claim(run(queue.client, call), [queue]).jobs


def state(queue: Queue, worker: str, number: int = 1) -> str:
    call = claim_call([queue], worker, number, LEASE, slots=10)
    return read_claim(run(queue.client, call), [queue]).states[queue.name]


def held(queue: Queue, *, worker: str = "w1", **options: Any) -> Claimed:
    """Push one job and claim it."""
    queue.push({"n": 1}, "h", **options)
    register(queue, worker)
    (claimed,) = claim(queue, worker)
    return claimed


def test_push_writes_a_hash_an_index_and_a_hint(queue: Queue, client: Redis) -> None:
    id = queue.push({"n": 1}, "shop.send", max_attempts=3, timeout=2)
    found = dump(client)
    job = found.pop(f"jobs:email:job:{id}".encode())
    assert int(job.pop(b"enqueued_at")) > 0
    assert job == {
        b"handler": b"shop.send",
        b"payload": b'{"n":1}',
        b"max_attempts": b"3",
        b"timeout": b"2000",
        b"more": b"1",
    }
    assert found == {
        b"jobs:email:active": [id.encode()],
        b"jobs:email:queue": b"0",
        b"jobs:email:wake": [b"1"],
    }


def test_claim_takes_by_priority_then_first_in_first_out(queue: Queue) -> None:
    low = queue.push(priority=-1)
    first, second = queue.push(), queue.push()
    high, high_too = queue.push(priority=2), queue.push(priority=2)
    register(queue, "w1")
    assert [job.id for job in claim(queue)] == [high, high_too, first, second, low]
    assert queue.stats().processing == 5
    assert queue.stats().active == 0


def test_claim_moves_the_job_and_raises_token_and_attempts(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    job = client.hgetall(f"jobs:email:job:{claimed.id}")
    assert (job[b"state"], job[b"token"], job[b"attempts"]) == (b"processing", b"1", b"1")
    assert client.hgetall("jobs:email:processing") == {claimed.id.encode(): b"w1"}
    assert client.hget("jobs:email:claims", "w1") == f"1 {claimed.id}".encode()
    assert client.llen("jobs:email:active") == 0


def test_a_number_seen_and_an_unknown_or_closed_worker_get_nothing(
    queue: Queue, client: Redis
) -> None:
    queue.push()
    before = dump(client)
    assert state(queue, "w1") == "unregistered"
    assert dump(client) == before
    register(queue, "w1", "w2")
    assert state(queue, "w1", 7) == "ok"
    queue.push()
    before = dump(client)
    assert state(queue, "w1", 7) == state(queue, "w1", 6) == "seen"
    assert dump(client) == before
    run(client, queue.close("w2"))
    before = dump(client)
    assert state(queue, "w2") == "closed"
    assert run(client, beat_call([queue], LEASE, ["w2"])) == [b"w2"]
    assert dump(client) == before


def test_paused_gives_nothing(queue: Queue) -> None:
    queue.push()
    register(queue, "w1")
    assert queue.pause()
    assert not queue.pause()
    assert claim(queue) == []
    assert queue.resume()
    assert not queue.resume()
    assert len(claim(queue, number=2)) == 1


def test_ahead_never_takes_a_job_on_its_last_attempt(queue: Queue) -> None:
    queue.push()
    queue.push(max_attempts=1)
    queue.push()
    register(queue, "w1")
    assert len(claim(queue, slots=1, ahead=5)) == 1
    assert queue.stats().active == 2
    assert len(claim(queue, number=2, slots=1, ahead=5)) == 2


def test_what_is_due_is_claimed_and_nothing_early(queue: Queue, client: Redis) -> None:
    due, later = queue.push(delay=100), queue.push(delay=100)
    client.zadd("jobs:email:scheduled", {due: 1})
    register(queue, "w1")
    reply = run(client, claim_call([queue], "w1", 1, LEASE, slots=10))
    answer = read_claim(reply, [queue])
    assert [job.id for job in answer.jobs] == [due]
    assert answer.look is not None
    assert 90 < answer.look <= 100
    assert client.zrange("jobs:email:scheduled", 0, -1) == [later.encode()]
    client.zadd("jobs:email:scheduled", {later: 1})
    assert queue.promote() == 1
    assert queue.stats().active == 1


def test_settling_as_succeeded_leaves_nothing_of_the_job(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    call = queue.settle_succeeded("w1", [(claimed.id, claimed.token)])
    assert run(client, call) == [1]
    assert b"jobs:email:processing" not in dump(client)
    assert f"jobs:email:job:{claimed.id}".encode() not in dump(client)
    after = dump(client)
    assert run(client, call) == [0]
    assert dump(client) == after


@pytest.mark.parametrize("worker, token", [("w2", 1), ("w1", 9), ("w1", 0)])
@pytest.mark.parametrize("kind", ["succeeded", "retry", "failed", "release", "recover"])
def test_another_claim_changes_nothing(
    queue: Queue, client: Redis, kind: str, worker: str, token: int
) -> None:
    id = held(queue).id
    calls = {
        "succeeded": queue.settle_succeeded(worker, [(id, token)]),
        "retry": queue.settle_retry(worker, [(id, token, 0, WHY)]),
        "failed": queue.settle_failed(worker, [(id, token, WHY)]),
        "release": queue.release(worker, [(id, token)]),
        "recover": queue.recover([(id, token, worker)], WHY),
    }
    before = dump(client)
    assert run(client, calls[kind]) == ([b""] if kind == "recover" else [-1])
    assert dump(client) == before


def test_a_retry_goes_behind_the_others(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    other = queue.push()
    assert run(client, queue.settle_retry("w1", [(claimed.id, 1, 0, WHY)])) == [1]
    assert [job.id for job in claim(queue, number=2)] == [other, claimed.id]
    record = queue.job(claimed.id)
    assert record is not None
    assert (record.attempts, record.token) == (2, 2)
    assert record.errors[0].message == "no"
    assert record.errors[0].at is not None
    assert run(client, queue.settle_retry("w1", [(claimed.id, 2, 60, WHY)])) == [1]
    assert queue.stats().scheduled == 1


def test_a_failed_job_can_be_retried_or_discarded(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    assert not queue.retry(claimed.id)
    assert run(client, queue.settle_failed("w1", [(claimed.id, 1, WHY)])) == [1]
    assert [record.exception for record in queue.failed()] == ["ValueError"]
    assert queue.retry(claimed.id)
    record = queue.job(claimed.id)
    assert record is not None
    assert (record.state, record.attempts, record.token) == ("active", 0, 1)
    assert queue.fail(claimed.id, "wrong")
    assert queue.discard(claimed.id)
    assert not queue.discard(claimed.id)
    assert queue.stats().active == queue.stats().failed == 0


def test_released_jobs_keep_their_order_and_their_attempts(queue: Queue, client: Redis) -> None:
    ids = [queue.push() for _ in range(3)]
    last = queue.push()
    register(queue, "w1")
    jobs = claim(queue, slots=3)
    assert run(client, queue.release("w1", [(job.id, job.token) for job in jobs])) == [1, 1, 1]
    again = claim(queue, number=2)
    assert [job.id for job in again] == [*ids, last]
    assert [job.attempt for job in again] == [1, 1, 1, 1]


def test_recover_counts_delays_from_the_second_crash_and_ends(queue: Queue, client: Redis) -> None:
    id = held(queue, max_attempts=3).id
    states = []
    for number, token in ((2, 1), (3, 3), (4, 5)):
        states += run(client, queue.recover([(id, token, "w1")], WHY))
        client.zadd("jobs:email:scheduled", {id: 1}, xx=True)
        claim(queue, number=number)
    assert states == [b"active", b"scheduled", b"failed"]
    record = queue.job(id)
    assert record is not None
    assert (record.state, record.crashes) == ("failed", 3)


def test_held_names_a_job_that_is_known_by_an_older_token_only(queue: Queue) -> None:
    claimed = held(queue)
    run(queue.client, queue.settle_retry("w1", [(claimed.id, 1, 0, WHY)]))  # the answers of
    assert [job.token for job in claim(queue, number=2)] == [2]  # both were lost
    answer = read_held(run(queue.client, queue.held("w1", 3, [(claimed.id, 1)])))
    assert (answer.stands, answer.unknown) == ([False], [(claimed.id, 2)])


def test_a_dead_workers_job_goes_back_that_its_table_knows_by_an_older_token(queue: Queue) -> None:
    claimed = held(queue)
    table = FlightTable(multiprocessing.get_context("fork"), 1)
    table.worker = "w1"
    table.hold(queue.name, claimed.id, claimed.token, claimed.attempt, claimed.max_attempts)
    table.end(0, RETRY, 0, WHY.error)
    run(queue.client, queue.settle_retry("w1", [(claimed.id, 1, 0, WHY)]))  # the answers of
    assert [job.token for job in claim(queue, number=2)] == [2]  # both were lost
    Grave(table, -9, released=False).bury(Lines([queue]), [queue])
    assert (queue.stats().active, queue.stats().processing) == (1, 0)


def test_held_tells_what_stands_and_stops_a_late_claim(queue: Queue, client: Redis) -> None:
    lost, known = queue.push(), queue.push()
    register(queue, "w1")
    first, second = claim(queue)
    assert (first.id, second.id) == (lost, known)
    answer = read_held(run(client, queue.held("w1", 2, [(known, 1), ("gone", 1)])))
    assert (answer.state, answer.stands, answer.unknown) == ("ok", [True, False], [(lost, 1)])
    queue.push()
    assert state(queue, "w1", 2) == "seen"


def test_sweep_needs_two_looks_at_the_same_lease(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    client.zadd("jobs:email:workers", {"w1": 1})
    look = sweep_call([queue], "looker", 0.0, [b"0"], [None])
    ((_, dead, *flat),) = run(client, look)
    assert (dead, flat) == (0, [])
    register(queue, "w1")
    assert run(client, look)[0][1] == 0
    client.zadd("jobs:email:workers", {"w1": 1})
    assert run(client, look)[0][1] == 0
    ((_, dead, *flat),) = run(client, look)
    assert dead == 1
    assert orphans(flat) == [(claimed.id.encode(), b"1", b"w1")]


def test_sweep_gives_a_worker_that_lost_its_entry_two_looks(queue: Queue, client: Redis) -> None:
    held(queue)
    client.zrem("jobs:email:workers", "w1")
    look = sweep_call([queue], "looker", 0.0, [b"0"], [None])
    assert run(client, look)[0][1:] == [0]
    assert client.zscore("jobs:email:workers", "w1") == 0
    register(queue, "w1")
    assert run(client, look)[0][1:] == [0]


def test_an_unregistered_worker_that_asks_what_it_holds_is_forgotten(
    queue: Queue, client: Redis
) -> None:
    look = sweep_call([queue], "looker", 0.0, [b"0"], [None])
    run(client, queue.held("w1", 1, []))
    for _ in range(2):
        run(client, look)
    assert state(queue, "w1", 2) == "closed"
    client.zadd("jobs:email:workers", {"w1": -1}, xx=True)  # a day ago
    run(client, look)
    assert dump(client) == {}


def test_sweep_names_the_jobs_of_a_worker_closed_a_day_ago_before_it_forgets_it(
    queue: Queue, client: Redis
) -> None:
    claimed = held(queue)
    run(client, queue.close("w1"))
    client.zadd("jobs:email:workers", {"w1": -1}, xx=True)
    look = sweep_call([queue], "looker", 6.0, [b"0"], [None])
    for _ in range(2):  # the first answer may be lost
        ((_, _, *flat),) = run(client, look)
        assert orphans(flat) == [(claimed.id.encode(), b"1", b"w1")]
    run(client, queue.recover(orphans(flat), WHY))
    run(client, look)
    assert client.zscore("jobs:email:workers", "w1") is None


def test_sweep_forgets_old_failures(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    run(client, queue.settle_failed("w1", [(claimed.id, 1, WHY)]))
    client.zadd("jobs:email:failed", {claimed.id: 1})
    run(client, sweep_call([queue], "looker", 6.0, [b"0"], [60.0]))
    assert queue.stats().failed == 0
    assert queue.job(claimed.id) is None


def test_cancel_and_fail_leave_the_list_alone_and_stats_exact(queue: Queue, client: Redis) -> None:
    ids = [queue.push() for _ in range(4)]
    assert queue.cancel(ids[0])
    assert not queue.cancel(ids[0])
    assert queue.fail(ids[1], "wrong")
    assert queue.fail(ids[2], "wrong")
    assert queue.retry(ids[2])
    assert queue.stats().active == 2
    assert queue.stats().failed == 1
    register(queue, "w1")
    assert [job.id for job in claim(queue)] == [ids[2], ids[3]]
    assert queue.stats().active == 0
    assert client.hget("jobs:email:counts", "cancelled") == b"0"
    scheduled, urgent = queue.push(delay=9), queue.push(priority=1)
    assert queue.cancel(scheduled)
    assert queue.cancel(urgent)
    assert queue.stats().scheduled == queue.stats().active == 0


def test_garbage_ends_among_the_failed_and_delays_nobody(queue: Queue, client: Redis) -> None:
    good = queue.push()
    wrong_type = queue.push()
    client.delete(f"jobs:email:job:{wrong_type}")
    client.set(f"jobs:email:job:{wrong_type}", "text")
    client.lpush("jobs:email:active", b"\xff\x00", "no-such-job", "x" * 9000)
    register(queue, "w1")
    assert [job.id for job in claim(queue)] == [good]
    payloads = sorted(len(record.payload) for record in queue.failed())
    assert payloads == [2, 11, 32, 4096]
    assert {record.exception for record in queue.failed()} == {"Garbage"}
    assert client.get(f"jobs:email:job:{wrong_type}") == b"text"
    assert queue.stats().active == 0


def test_an_index_of_a_wrong_type_stops_its_own_queue_only(queue: Queue, client: Redis) -> None:
    other = Queue("other", client)
    queue.push()
    id = other.push()
    client.set("jobs:email:failed", "text")
    run(client, beat_call([queue, other], LEASE, ["w1"]))
    before = client.lrange("jobs:email:active", 0, -1)
    reply = run(client, claim_call([queue, other], "w1", 1, LEASE, slots=10))
    answer = read_claim(reply, [queue, other])
    assert [job.id for job in answer.jobs] == [id]
    assert "WRONGTYPE" in answer.states["email"]
    assert client.lrange("jobs:email:active", 0, -1) == before


def test_when_redis_is_full_push_fails_and_workers_drain(queue: Queue, client: Redis) -> None:
    jobs = [queue.push() for _ in range(3)]
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Exception, match="maxmemory"):
            queue.push()
        register(queue, "w1")
        assert len(claim(queue)) == 3
        assert run(client, queue.settle_succeeded("w1", [(jobs[0], 1)])) == [1]
        assert run(client, queue.settle_retry("w1", [(jobs[1], 1, 5, WHY)])) == [1]
        assert run(client, queue.settle_failed("w1", [(jobs[2], 1, WHY)])) == [1]
        assert queue.retry(jobs[2])
    finally:
        client.config_set("maxmemory", 0)
    assert queue.push()


def test_progress_is_for_the_claim_that_stands(queue: Queue) -> None:
    claimed = held(queue)
    queue.progress_function("w1")(claimed.job(), 0.4, "resizing")
    record = queue.job(claimed.id)
    assert record is not None
    assert record.progress == '{"fraction": 0.4, "text": "resizing"}'
    queue.progress_function("w2")(claimed.job(), 0.9, "late")
    assert queue.job(claimed.id) == record


def test_unknown_handlers_wait_longer_each_time(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    assert run(client, queue.release("w1", [(claimed.id, 1)], unknown=True)) == [1]
    record = queue.job(claimed.id)
    assert record is not None
    assert (record.state, record.attempts) == ("scheduled", 0)
    client.zadd("jobs:email:scheduled", {claimed.id: 1})
    client.hset(f"jobs:email:job:{claimed.id}", "unknown_since", 1)
    (again,) = claim(queue, number=2)
    assert again.unknown_ms > 10**9


# What exactly one script writes: `changes` is compared with all that differs in Redis.

TIMES = {b"due_at", b"enqueued_at", b"started_at", b"failed_at", b"unknown_since"}
GONE = "gone"


def scrub(value: Any) -> Any:
    """Replace the server's times, which are checked to be times, by NOW."""
    if isinstance(value, dict):
        return {
            key: "NOW" if key in TIMES and item != GONE and int(item) > 10**12 else scrub(item)
            for key, item in value.items()
        }
    if isinstance(value, bytes) and value.startswith(b'{"time":'):
        return re.sub(rb":[1-9]\d+,", b":NOW,", value)
    return value


def changes(client: Redis, before: dict[bytes, Any]) -> dict[str, Any]:
    """Return each key under the root that differs from `before`, hashes field by field."""
    after, found = dump(client), {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key, GONE)
        if old == new:
            continue
        name = key.decode().removeprefix("jobs:email:")
        if isinstance(old, dict) and isinstance(new, dict):
            new = {
                field: new.get(field, GONE)
                for field in old.keys() | new.keys()
                if old.get(field) != new.get(field)
            }
        found[name] = scrub(new)
    return found


def now(client: Redis) -> float:
    seconds, micros = client.time()
    return float(seconds * 1000 + micros / 1000)


ERROR = b'{"time":NOW,"began":NOW,"exception": "ValueError", "message": "no", "worker": "w1"}'
FAILED_1 = {b"error:1": ERROR, b"traceback:1": b"Traceback"}


def test_push_delayed_writes_only_the_scheduled(queue: Queue, client: Redis) -> None:
    id = queue.push({}, "h", delay=60, priority=3)
    found = changes(client, {})
    ((member, due),) = found.pop("scheduled")
    assert member == id.encode()
    assert 50_000 < due - now(client) <= 60_000
    assert found == {
        f"job:{id}": {
            b"handler": b"h",
            b"payload": b"{}",
            b"priority": b"3",
            b"state": b"scheduled",
            b"due_at": "NOW",
            b"more": b"1",
            b"enqueued_at": "NOW",
        },
        "queue": b"0",
        "wake": [b"1"],
    }


def test_push_with_a_priority_writes_its_score(queue: Queue, client: Redis) -> None:
    id = queue.push({}, "h", priority=-2)
    found = changes(client, {})
    assert found.pop("priority") == [(id.encode(), 1.0 + 2 * 2**44)]
    assert found.pop(f"job:{id}")[b"score"] == str(1 + 2 * 2**44).encode()
    assert found == {"queue": b"1", "wake": [b"1"]}


def test_push_of_a_known_id_writes_nothing(queue: Queue, client: Redis) -> None:
    queue.add([NewJob("one", "h", "{}")])
    before = dump(client)
    assert queue.add([NewJob("one", "other", "[]", due="+9", priority=3)]) == [False]
    assert dump(client) == before


def test_a_push_that_fails_can_be_done_again(queue: Queue, client: Redis) -> None:
    job = NewJob("one", "h", "{}", priority=1)
    client.set("jobs:email:priority", "text")
    with pytest.raises(PushError, match="wrong kind of value"):
        queue.add([job])
    client.delete("jobs:email:priority")
    assert queue.add([job]) == [True]
    assert queue.stats().active == 1


def test_claim_writes_this(queue: Queue, client: Redis) -> None:
    id = queue.push({}, "h")
    register(queue, "w1")
    before = dump(client)
    (claimed,) = claim(queue)
    found = changes(client, before)
    found.pop("workers", None)  # the lease was renewed, if a millisecond went by
    assert found == {
        "active": GONE,
        "claims": {b"w1": b"1 " + id.encode()},
        "processing": {id.encode(): b"w1"},
        f"job:{id}": {
            b"state": b"processing",
            b"token": b"1",
            b"attempts": b"1",
            b"started_at": "NOW",
        },
    }
    assert (claimed.token, claimed.attempt, claimed.handler) == (1, 1, "h")


def test_a_claim_renews_the_lease(queue: Queue, client: Redis) -> None:
    register(queue, "w1")
    client.zadd("jobs:email:workers", {"w1": 1})
    claim(queue)
    ((_, lease),) = dump(client)[b"jobs:email:workers"]
    assert 5_000 < lease - now(client) <= 15_000


def test_a_claim_has_a_bound_and_loses_nothing(queue: Queue) -> None:
    queue.add([NewJob(f"job-{n}", "h", "{}") for n in range(4500)])
    register(queue, "w1")
    got = len(claim(queue, slots=10_000))
    stats = queue.stats()
    assert got == stats.processing == 1000
    assert stats.active == 3500


def test_priorities_of_what_falls_due_and_of_what_is_retried(queue: Queue, client: Redis) -> None:
    plain = queue.push()
    due = [queue.push(delay=60, priority=priority) for priority in (-1, 0, 1, 1)]
    client.zadd("jobs:email:scheduled", {id: n + 1 for n, id in enumerate(due)})
    register(queue, "w1")
    jobs = claim(queue)
    assert [job.id for job in jobs] == [due[2], due[3], plain, due[1], due[0]]
    first, second = jobs[:2]
    run(client, queue.settle_retry("w1", [(first.id, 1, 0, WHY)]))
    run(client, queue.release("w1", [(second.id, 1)]))
    assert [job.id for job in claim(queue, number=2)] == [second.id, first.id]


def test_released_priorities_keep_their_old_order(queue: Queue, client: Redis) -> None:
    ids = [queue.push(priority=priority) for priority in (1, 1, 0, 0, -1, -1)]
    register(queue, "w1")
    before = [(job.id, job.token) for job in claim(queue)]
    later = [queue.push(priority=priority) for priority in (1, 0, -1)]
    run(client, queue.release("w1", before))
    order = [job.id for job in claim(queue, number=2)]
    assert order == [*ids[:2], later[0], *ids[2:4], later[1], *ids[4:], later[2]]


def test_beat_writes_this(queue: Queue, client: Redis) -> None:
    client.hset("jobs:email:suspects", mapping={"w1": "1 1", "w3": "1 1"})
    before = dump(client)
    assert run(client, beat_call([queue], LEASE, ["w1", "w2"])) == []
    found = changes(client, before)
    workers = dict(found.pop("workers"))
    assert set(workers) == {b"w1", b"w2"}
    assert all(5_000 < lease - now(client) <= 15_000 for lease in workers.values())
    assert found == {"suspects": {b"w1": GONE}}


def test_held_raises_the_number_and_writes_nothing_else(queue: Queue, client: Redis) -> None:
    id = held(queue).id
    before = dump(client)
    for known in ([(id, 9)], [(id, 1)], []):
        run(client, queue.held("w1", 1, known))
        assert dump(client) == before
    run(client, queue.held("w1", 5, [(id, 1)]))
    assert changes(client, before) == {"claims": {b"w1": b"5 " + id.encode()}}
    after = dump(client)
    answer = read_held(run(client, queue.held("w1", 3, [])))
    assert (answer.state, answer.unknown) == ("ok", [(id, 1)])
    assert dump(client) == after
    assert read_held(run(client, queue.held("nobody", 1, []))).state == "unregistered"
    run(client, queue.close("w1"))
    assert read_held(run(client, queue.held("w1", 6, []))).state == "closed"


def test_close_writes_this(queue: Queue, client: Redis) -> None:
    id = held(queue).id
    client.hset("jobs:email:meta", mapping={"alarm_worker": "w1", "alarm_at": 1})
    client.delete("jobs:email:wake")
    before = dump(client)
    assert run(client, queue.close("w1", answered=True)) == [id.encode(), b"1"]
    found = changes(client, before)
    ((worker, lease),) = found.pop("workers")
    assert worker == b"w1"
    assert 0 <= now(client) + lease < 5_000
    assert found == {"meta": GONE, "wake": [b"1"]}
    run(client, queue.release("w1", [(id, 1)]))
    before = dump(client)
    assert run(client, queue.close("w1", answered=True)) == []
    assert changes(client, before) == {"workers": GONE, "claims": GONE}
    assert run(client, queue.close("w9")) == []
    assert state(queue, "w9") == "closed"


def test_settle_succeeded_writes_this(queue: Queue, client: Redis) -> None:
    id = held(queue).id
    before = dump(client)
    assert run(client, queue.settle_succeeded("w1", [(id, 1), ("gone", 1)])) == [1, 0]
    assert changes(client, before) == {f"job:{id}": GONE, "processing": GONE}


def test_settle_retry_writes_this(queue: Queue, client: Redis) -> None:
    id = held(queue).id
    client.hset(f"jobs:email:job:{id}", mapping={"unknown_since": 1, "progress": "{}"})
    client.delete("jobs:email:wake")
    before = dump(client)
    gone = {b"state": GONE, b"started_at": GONE, b"progress": GONE, b"unknown_since": GONE}
    call = queue.settle_retry("w1", [(id, 1, 0, WHY)])
    assert run(client, call) == [1]
    assert changes(client, before) == {
        f"job:{id}": gone | FAILED_1,
        "processing": GONE,
        "active": [id.encode()],
        "wake": [b"1"],
    }
    after = dump(client)
    assert run(client, call) == [0]
    assert dump(client) == after


def test_settle_failed_writes_this(queue: Queue, client: Redis) -> None:
    id = held(queue, priority=1).id
    client.hset(f"jobs:email:job:{id}", "progress", "{}")
    before = dump(client)
    call = queue.settle_failed("w1", [(id, 1, WHY)])
    assert run(client, call) == [1]
    found = changes(client, before)
    ((member, at),) = found.pop("failed")
    assert member == id.encode()
    assert 0 <= now(client) - at < 5_000
    assert found.pop("group:h ValueError") == [(member, at)]
    assert found.pop("groups") == {b"h ValueError": b"1"}
    assert found == {
        f"job:{id}": {
            b"state": b"failed",
            b"failed_at": "NOW",
            b"exception": b"ValueError",
            b"group": b"h ValueError",
            b"progress": GONE,
            b"score": GONE,
            **FAILED_1,
        },
        "processing": GONE,
    }
    after = dump(client)
    assert run(client, call) == [0]
    assert dump(client) == after


@pytest.mark.parametrize("kind", ["release", "recover"])
def test_release_and_recover_write_this(queue: Queue, client: Redis, kind: str) -> None:
    id = held(queue).id
    client.delete("jobs:email:wake")
    before = dump(client)
    job = {b"state": GONE, b"started_at": GONE}
    if kind == "release":
        call, answers, job = queue.release("w1", [(id, 1)]), ([1], [0]), job | {b"attempts": b"0"}
    else:
        call, answers = queue.recover([(id, 1, "w1")], WHY), ([b"active"], [b""])
        job |= {b"token": b"2", b"crashes": b"1", b"error:1": ERROR}
    assert run(client, call) == answers[0]
    assert changes(client, before) == {
        f"job:{id}": job,
        "processing": GONE,
        "active": [id.encode()],
        "wake": [b"1"],
    }
    after = dump(client)
    assert run(client, call) == answers[1]
    late = run(client, queue.settle_succeeded("w1", [(id, 1)]))
    assert late == [0 if kind == "release" else -1]
    assert dump(client) == after


def test_recovered_jobs_go_to_the_head_in_their_old_order(queue: Queue, client: Redis) -> None:
    ids = [queue.push() for _ in range(3)]
    register(queue, "w1")
    jobs = claim(queue)
    other = queue.push()
    answers = run(client, queue.recover([(job.id, job.token, "w1") for job in jobs], WHY))
    assert answers == [b"active"] * 3
    assert [job.id for job in claim(queue, number=2)] == [*ids, other]


def test_promote_writes_this(queue: Queue, client: Redis) -> None:
    first, second, later = (queue.push(delay=60) for _ in range(3))
    client.zadd("jobs:email:scheduled", {first: 1, second: 2})
    client.delete("jobs:email:wake")
    before = dump(client)
    assert queue.promote(limit=1) == 1
    assert changes(client, before)["scheduled"][0] == (second.encode(), 2)
    assert queue.promote() == 1
    found = changes(client, before)
    assert [member for member, _ in found.pop("scheduled")] == [later.encode()]
    assert found == {
        f"job:{first}": {b"state": GONE},
        f"job:{second}": {b"state": GONE},
        "active": [second.encode(), first.encode()],
        "wake": [b"1"],
    }
    after = dump(client)
    assert queue.promote() == 0
    assert dump(client) == after


def test_pause_and_resume_write_this(queue: Queue, client: Redis) -> None:
    queue.push()
    client.delete("jobs:email:wake")
    before = dump(client)
    assert not queue.resume()
    assert dump(client) == before
    assert queue.pause()
    assert set(changes(client, before)) == {"meta"}
    assert queue.stats().paused
    paused = dump(client)
    assert not queue.pause()
    assert dump(client) == paused
    assert queue.resume()
    assert changes(client, before) == {"wake": [b"1"]}


def test_operators_write_this(queue: Queue, client: Redis) -> None:
    id, sure = queue.push(handler="h"), queue.push(delay=60)
    client.delete("jobs:email:wake")
    before = dump(client)
    assert queue.fail(id, "wrong")
    found = changes(client, before)
    assert found.pop("failed")[0][0] == id.encode()
    assert found.pop("group:h Stopped")[0][0] == id.encode()
    assert found.pop("groups") == {b"h Stopped": b"1"}
    assert found.pop("counts") == {b"cancelled": b"1"}
    job = found.pop(f"job:{id}")
    assert job.pop(b"error:0").endswith(b'"Stopped", "message": "wrong", "worker": "operator"}')
    assert job == {
        b"state": b"failed",
        b"listed": b"1",
        b"more": b"1",
        b"failed_at": "NOW",
        b"exception": b"Stopped",
        b"group": b"h Stopped",
    }
    assert found == {}
    assert queue.retry(id)
    found = changes(client, before)
    assert set(found.pop(f"job:{id}")) == {b"error:0", b"due_at", b"more"}
    assert found == {"counts": {b"cancelled": b"0"}, "wake": [b"1"]}
    assert queue.cancel(id)
    assert client.hgetall(f"jobs:email:job:{id}") == {b"state": b"cancelled"}
    assert queue.job(id) is None
    assert queue.cancel(sure)
    assert client.exists(f"jobs:email:job:{sure}", "jobs:email:scheduled") == 0


@pytest.mark.parametrize("verb", ["retry", "edit", "discard", "cancel", "fail"])
@pytest.mark.parametrize("place", ["active", "scheduled", "processing", "failed", "none", "text"])
def test_operators_are_refused_elsewhere(
    queue: Queue, client: Redis, verb: str, place: str
) -> None:
    id = "nothing"
    if place == "text":
        client.set("jobs:email:job:nothing", "text")
    elif place in ("active", "scheduled"):
        id = queue.push(delay=0 if place == "active" else 60)
    elif place != "none":
        id = held(queue).id
    if place == "failed":
        run(client, queue.settle_failed("w1", [(id, 1, WHY)]))
    moves = {"failed": {"retry", "edit", "discard"}} | dict.fromkeys(
        ("active", "scheduled"), {"cancel", "fail"}
    )
    allowed = verb in moves.get(place, set())
    before = dump(client)
    args = ["why"] if verb in ("fail", "edit") else []
    assert getattr(queue, verb)(id, *args) == allowed
    assert (dump(client) == before) == (not allowed)


@pytest.mark.parametrize("again", ["retry", "discard"])
def test_a_failed_id_in_the_list_is_not_doubled(queue: Queue, client: Redis, again: str) -> None:
    id, other = queue.push(), queue.push()
    for _ in range(3):
        assert queue.fail(id, "wrong")
        assert (queue.stats().active, queue.stats().failed) == (1, 1)
        assert queue.retry(id)
        assert (queue.stats().active, queue.stats().failed) == (2, 0)
    assert client.lrange("jobs:email:active", 0, -1) == [other.encode(), id.encode()]
    assert queue.fail(id, "wrong")
    assert getattr(queue, again)(id)
    register(queue, "w1")
    expected = [id, other] if again == "retry" else [other]
    assert [job.id for job in claim(queue)] == expected
    stats = queue.stats()
    assert (stats.active, stats.processing, stats.failed) == (0, len(expected), 0)
    assert (client.exists(f"jobs:email:job:{id}") == 1) == (again == "retry")


def test_a_failed_id_that_claim_has_dropped_is_retried_once(queue: Queue, client: Redis) -> None:
    id = queue.push()
    queue.fail(id, "wrong")
    register(queue, "w1")
    assert claim(queue) == []
    assert queue.stats().active == 0
    assert queue.retry(id)
    assert queue.stats().active == 1
    assert [job.id for job in claim(queue, number=2)] == [id]


@pytest.mark.parametrize("script", ["stats", "job", "progress"])
def test_looking_and_refused_progress_write_nothing(
    queue: Queue, client: Redis, script: str
) -> None:
    claimed = held(queue)
    queue.push(delay=60)
    before = dump(client)
    if script == "stats":
        stats = queue.stats()
        assert (stats.active, stats.processing, stats.scheduled) == (0, 1, 1)
    elif script == "job":
        record = queue.job(claimed.id)
        assert record is not None
        assert (record.state, record.worker, record.token) == ("processing", "w1", 1)
        assert queue.job("nothing") is None
    else:
        job = claimed.job()
        job.token = 9
        queue.progress_function("w1")(job, 0.5, "late")
    assert dump(client) == before


def test_progress_writes_one_field(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    before = dump(client)
    queue.progress_function("w1")(claimed.job(), 1, "done")
    text = b'{"fraction": 1.0, "text": "done"}'
    assert changes(client, before) == {f"job:{claimed.id}": {b"progress": text}}


def test_sweep_writes_this(queue: Queue, client: Redis) -> None:
    held(queue)
    look = sweep_call([queue], "looker", 0.0, [b"0"], [None])
    before = dump(client)
    run(client, look)
    assert dump(client) == before
    client.zadd("jobs:email:workers", {"w1": 1})
    before = dump(client)
    run(client, look)
    found = changes(client, before)
    assert found.pop("suspects")[b"w1"].startswith(b"1 ")
    assert found == {}
    run(client, look)
    found = changes(client, before)
    ((worker, lease),) = found.pop("workers")
    assert worker == b"w1"
    assert lease < 0
    assert found == {}
    assert state(queue, "w1", 2) == "closed"


@pytest.mark.parametrize(
    "key",
    ["workers", "processing", "failed", "groups", "claims", "meta", "queue", "priority", "active"],
)
def test_a_wrong_type_anywhere_stops_no_other_queue(queue: Queue, client: Redis, key: str) -> None:
    other = Queue("other", client)
    id = other.push()
    client.sadd(f"jobs:email:{key}", "a set")
    both = [queue, other]
    assert run(client, beat_call(both, LEASE, ["w1"])) == []
    before = dump(client)
    answer = read_claim(run(client, claim_call(both, "w1", 1, LEASE, slots=9)), both)
    assert [job.id for job in answer.jobs] == [id]
    assert answer.states["other"] == "ok"
    assert answer.states["email"].startswith(f"{key}: WRONGTYPE")
    assert not [name for name in changes(client, before) if not name.startswith("jobs:other:")]
    client.zadd("jobs:other:workers", {"w1": 1})
    look = sweep_call(both, "looker", 0.0, [b"0", b"0"], [60.0, 60.0])
    run(client, look)
    assert orphans(run(client, look)[1][2:]) == [(id.encode(), b"1", b"w1")]


def test_garbage_whose_name_is_taken_harms_nobody(queue: Queue, client: Redis) -> None:
    taken = "jobs:email:job:garbage-" + hashlib.sha1(b"\xff").hexdigest()
    client.rpush(taken, "a list")
    good = queue.push()
    client.rpush("jobs:email:active", b"\xff")
    client.zadd("jobs:email:scheduled", {b"\xfe": 1, "no-hash": 2})
    client.zadd("jobs:email:priority", {b"\xfd": -1})
    register(queue, "w1")
    assert [job.id for job in claim(queue)] == [good]
    assert client.lrange(taken, 0, -1) == [b"a list"]
    found = sorted(record.payload for record in queue.failed())
    assert found == [b"no-hash", b"\xfd", b"\xfe"]
    assert (queue.stats().active, queue.stats().scheduled) == (0, 0)


def test_a_job_whose_hash_lost_its_token_is_settled_and_recovered(
    queue: Queue, client: Redis
) -> None:
    for worker in ("w1", "w2"):
        claimed = held(queue, worker=worker)
        client.hdel(f"jobs:email:job:{claimed.id}", "token")
        call = queue.settle_succeeded(worker, [(claimed.id, claimed.token)])
        if worker == "w2":
            call = queue.recover([(claimed.id, 0, worker)], WHY)
        assert run(client, call) in ([1], [b"active"])
        assert queue.stats().processing == 0


def test_bytes_of_any_kind_in_processing_are_swept_away(queue: Queue, client: Redis) -> None:
    client.hset("jobs:email:processing", b"\xff\xfe", b"\xfd")
    client.zadd("jobs:email:workers", {b"\xfd": 5000 - time.time() * 1000})  # closed 5 s ago
    (reply,) = run(client, sweep_call([queue], "looker", 1, [b"0"], [None]))
    found = orphans(reply[2:])
    assert found == [(b"\xff\xfe", b"0", b"\xfd")]
    assert run(client, queue.recover(found, WHY)) == [b""]
    assert not client.exists("jobs:email:processing")


def test_a_failed_id_without_a_hash_can_be_discarded(queue: Queue, client: Redis) -> None:
    client.zadd("jobs:email:failed", {"lost": 1})
    assert not queue.retry("lost")
    assert queue.discard("lost")
    assert not queue.discard("lost")
    assert queue.stats().failed == 0


def test_sweep_names_what_the_asking_worker_holds(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    (reply,) = run(client, sweep_call([queue], "w1", 0.0, [b"0"], [None]))
    assert reply[1] == 0
    assert orphans(reply[2:]) == [(claimed.id.encode(), b"1", b"w1")]


@pytest.mark.parametrize("broken", ["groups", "group:h ValueError", "count"])
@pytest.mark.parametrize("known", [True, False])
def test_a_broken_group_loses_no_failed_job(
    queue: Queue, client: Redis, broken: str, known: bool
) -> None:
    id = "a"
    fields = {"state": "failed", "handler": "h", **({"group": "h ValueError"} if known else {})}
    client.hset(f"{queue.root}:job:{id}", mapping=fields)
    client.zadd(f"{queue.root}:failed", {id: 1})
    client.set(f"{queue.root}:queue", "")
    if broken != "groups":
        client.hset(f"{queue.root}:groups", "h ValueError", "x" if broken == "count" else 1)
        client.zadd(f"{queue.root}:group:h ValueError", {id: 1})
    if broken != "count":
        client.delete(f"{queue.root}:{broken}")
        client.set(f"{queue.root}:{broken}", "x")
    assert queue.retry(id)
    assert client.lrange(f"{queue.root}:active", 0, -1) == [b"a"]
    assert (record := queue.job(id)) and record.state == "active"
