"""Each script: seed, call, compare the key space; a refusal writes nothing."""

from typing import Any

import pytest
from redis import Redis

from django_jobs.claims import beat_call, claim_call, read_claim, read_held, sweep_call, triples
from django_jobs.failure import Failure
from django_jobs.job import Claimed
from django_jobs.queue import Queue
from django_jobs.scripts import run

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
    look = sweep_call([queue], 0.0, [b"0"], [None])
    ((_, dead, *flat),) = run(client, look)
    assert (dead, flat) == (0, [])
    register(queue, "w1")
    assert run(client, look)[0][1] == 0
    client.zadd("jobs:email:workers", {"w1": 1})
    assert run(client, look)[0][1] == 0
    ((_, dead, *flat),) = run(client, look)
    assert dead == 1
    assert triples(flat) == [(claimed.id, 1, "w1")]


def test_sweep_gives_a_worker_that_lost_its_entry_two_looks(queue: Queue, client: Redis) -> None:
    held(queue)
    client.zrem("jobs:email:workers", "w1")
    look = sweep_call([queue], 0.0, [b"0"], [None])
    assert run(client, look)[0][1:] == [0]
    assert client.zscore("jobs:email:workers", "w1") == 0
    register(queue, "w1")
    assert run(client, look)[0][1:] == [0]


def test_sweep_forgets_old_failures(queue: Queue, client: Redis) -> None:
    claimed = held(queue)
    run(client, queue.settle_failed("w1", [(claimed.id, 1, WHY)]))
    client.zadd("jobs:email:failed", {claimed.id: 1})
    run(client, sweep_call([queue], 6.0, [b"0"], [60.0]))
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
