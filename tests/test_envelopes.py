"""What other programs push straight into Redis, in an envelope, becomes a job of HANDLER."""

import json
import os
from base64 import b64encode
from pathlib import Path

import pytest
from redis import Redis

from django_jobs.conf import problems
from django_jobs.connection import get_queue
from django_jobs.invariants import check
from django_jobs.line import run
from django_jobs.queue import Queue
from tests.conftest import Runjobs
from tests.processes import ran
from tests.test_transitions import claim, dump, register

ACTIVE = "jobs:email:active"
PAYLOAD = '{"order": 7, "list": [], "big": 12345678901234567890, "text": "é\\u0000"}'.encode()


def envelope(id: object, data: bytes = PAYLOAD) -> bytes:
    return json.dumps({"ID": id, "Data": b64encode(data).decode()}).encode()


@pytest.fixture
def adopting(queue: Queue) -> Queue:
    """A queue whose HANDLER is `shop.receive`."""
    run(queue.client, queue.configure(0, "", "shop.receive 8"))
    register(queue, "w1")
    return queue


def test_an_envelope_is_claimed_in_its_turn_as_a_job_of_the_handler(
    adopting: Queue, client: Redis
) -> None:
    first = adopting.push({"n": 1}, "h")
    client.lpush(ACTIVE, envelope("1f-a.b"), envelope("another", b""))
    last = adopting.push({"n": 2}, "h")
    jobs = claim(adopting)
    assert [job.id for job in jobs] == [first, "1f-a.b", "another", last]
    assert (jobs[1].handler, jobs[1].raw, jobs[1].max_attempts) == ("shop.receive", PAYLOAD, 8)
    assert (jobs[1].token, jobs[1].attempt, jobs[2].raw) == (1, 1, b"")
    record = adopting.job("1f-a.b")
    assert record is not None
    assert (record.state, record.payload) == ("processing", PAYLOAD)
    assert record.enqueued_at is not None
    assert check(adopting) == []


@pytest.mark.parametrize("size", [*range(7), 255, 65_536])
def test_its_data_is_decoded_to_the_last_byte(adopting: Queue, client: Redis, size: int) -> None:
    data = os.urandom(size)
    client.lpush(ACTIVE, envelope("one", data))
    assert [job.raw for job in claim(adopting)] == [data]


def test_the_same_id_twice_is_one_job_wherever_that_is(adopting: Queue, client: Redis) -> None:
    again = envelope("one")
    client.lpush(ACTIVE, again, again)
    (job,) = claim(adopting)
    client.lpush(ACTIVE, again)
    assert claim(adopting, number=2) == []
    run(client, adopting.release("w1", [(job.id, job.token)]))
    client.rpush(ACTIVE, envelope("other"), envelope("one", b"2"))  # before the job
    other, job = claim(adopting, number=3)
    assert (other.id, job.id, job.raw) == ("other", "one", PAYLOAD)
    assert adopting.stats().active == 0
    run(client, adopting.settle_snoozed("w1", [(job.id, job.token, 60)]))
    client.lpush(ACTIVE, again)
    assert claim(adopting, number=4) == []
    assert adopting.fail("one", "enough")
    client.lpush(ACTIVE, again)
    assert claim(adopting, number=5) == []
    assert [record.id for record in adopting.failed()] == ["one"]
    assert check(adopting) == []


def test_an_envelope_of_a_cancelled_job_is_dropped_with_it(adopting: Queue, client: Redis) -> None:
    client.lpush(ACTIVE, *[envelope(f"job-{n}") for n in range(3)])
    assert [job.id for job in claim(adopting, slots=1)] == ["job-0"]
    run(client, adopting.release("w1", [("job-0", 1)]))
    assert adopting.cancel("job-0")
    client.rpush(ACTIVE, envelope("job-0"))  # before its id, which claim is to drop
    assert [job.id for job in claim(adopting, number=2)] == ["job-1", "job-2"]
    assert (adopting.stats().active, adopting.stats().failed) == (0, 0)
    assert check(adopting) == []


def test_one_that_finds_no_room_keeps_its_place(adopting: Queue, client: Redis) -> None:
    run(client, adopting.configure(0, "", "shop.receive 1"))  # none is claimed ahead on its last
    client.lpush(ACTIVE, *[envelope(f"job-{n}") for n in range(3)])
    assert [job.id for job in claim(adopting, slots=1, ahead=2)] == ["job-0"]
    assert client.lrange(ACTIVE, 0, -1) == [envelope("job-2"), b"job-1"]
    assert check(adopting) == []
    assert [job.id for job in claim(adopting, number=2)] == ["job-1", "job-2"]


def test_without_a_handler_it_fails_and_names_the_setting(queue: Queue, client: Redis) -> None:
    register(queue, "w1")
    client.lpush(ACTIVE, envelope("one"))
    id = queue.push({}, "h")
    assert [job.id for job in claim(queue)] == [id]
    (record,) = queue.failed()
    assert (record.exception, record.payload) == ("Garbage", envelope("one"))
    assert "HANDLER" in record.errors[0].message
    client.lpush(ACTIVE, envelope("one"))
    assert claim(queue, number=2) == []
    assert queue.stats().failed == 1


@pytest.mark.parametrize(
    "bytes",
    [
        b"{",
        b"[]",
        b'"text"',
        b'{"ID": "x"}',
        b'{"ID": 5, "Data": ""}',
        b'{"ID": "x", "Data": null}',
        b'{"ID": "x", "Data": ["e30="]}',
        b'{"ID": "x", "Data": "e30"}',
        b'{"ID": "x", "Data": "e-0="}',
        b'{"ID": "x", "Data": "===="}',
        envelope("a b"),
        envelope("x" * 65),
        envelope("x", b"0" * 2**20),
        b'{"a":' * 5000,
    ],
)
def test_what_is_no_envelope_is_garbage(adopting: Queue, client: Redis, bytes: bytes) -> None:
    client.lpush(ACTIVE, bytes)
    assert claim(adopting) == []
    (record,) = adopting.failed()
    assert (record.exception, record.payload) == ("Garbage", bytes[:4096])


def test_a_key_of_another_type_under_its_id_is_left_alone(adopting: Queue, client: Redis) -> None:
    client.set("jobs:email:job:one", "text")
    client.lpush(ACTIVE, envelope("one"))
    assert claim(adopting) == []
    assert client.get("jobs:email:job:one") == b"text"
    assert [record.payload for record in adopting.failed()] == [envelope("one")]


def test_attempts_that_another_program_counted_stay_counted(adopting: Queue, client: Redis) -> None:
    client.hset("jobs:email:job:one", "attempts", 3)
    client.lpush(ACTIVE, envelope("one"))
    assert [(job.id, job.attempt) for job in claim(adopting)] == [("one", 4)]


def test_a_seen_number_and_a_paused_queue_adopt_nothing(adopting: Queue, client: Redis) -> None:
    claim(adopting, number=5)
    client.lpush(ACTIVE, envelope("one"))
    before = dump(client)
    assert claim(adopting, number=5) == []
    assert dump(client) == before
    adopting.pause()
    assert claim(adopting, number=6) == []
    assert client.lrange(ACTIVE, 0, -1) == [envelope("one")]


def test_the_handler_of_the_newest_settings_counts(queue: Queue, client: Redis) -> None:
    meta = "jobs:email:meta"
    assert run(client, queue.configure(10, "", "")) == 0
    assert not client.exists(meta)
    assert run(client, queue.configure(10, "", "new 5")) == 1
    assert run(client, queue.configure(50, "", "old 5")) == 0
    assert client.hget(meta, "handler") == b"new 5"
    assert run(client, queue.configure(1, "", "")) == 1
    assert client.hget(meta, "handler") == b""


def test_runjobs_runs_what_another_program_pushed(
    runjobs: Runjobs, ledger: Path, client: Redis
) -> None:
    client.lpush("jobs:foreign:active", envelope("0193-go", b"{}"))
    tree = runjobs("--drain", DJANGO_SETTINGS_MODULE="tests.settings_limited")
    assert tree.wait(30) == 0, tree.output
    assert list(ran(ledger)) == ["0193-go"]
    assert get_queue("foreign").stats().failed == 0


@pytest.mark.parametrize("name", ["", "two words", 5, "a:b"])
def test_what_cannot_name_a_handler_is_refused(name: object) -> None:
    (problem,) = problems({"QUEUES": {"email": {"HANDLER": name}}})
    assert "QUEUES['email']: HANDLER" in problem
