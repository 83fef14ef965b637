"""Queues on several Redises, served as if there were one; and the way to the right server."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from django_jobs.address import BadURL, read_url
from django_jobs.claims import beat_call, claim_call, read_claim, report_call, sweep_call
from django_jobs.connection import get_client
from django_jobs.line import checked
from django_jobs.lines import Lines
from django_jobs.options import new_job
from django_jobs.queue import Queue
from tests.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.faults.site import Server


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Server]:
    """Another Redis."""
    server = Server(tmp_path / "other")
    yield server
    server.end()


@pytest.fixture
def queues(client: Redis, other: Server) -> list[Queue]:
    """Three queues on two Redises."""
    return [Queue("a", client), Queue("b", other.client), Queue("c", client)]


@pytest.fixture
def lines(queues: list[Queue]) -> Iterator[Lines]:
    """Lines to them, for a worker that is registered everywhere."""
    lines = Lines(queues, socket_timeout=0.5)
    assert lines.run([beat_call(queues, 3, ["w"])]) == [[]]
    yield lines
    lines.close()


def fill(queues: list[Queue], number: int, *, max_attempts: int = 1, **options: Any) -> None:
    """Push some jobs to each; on their last attempt they are never claimed ahead."""
    own = {"handler": "h", "limit": 99, "max_attempts": max_attempts, "options": options}
    for queue in queues:
        queue.add([new_job(n, queue=queue.name, **own) for n in range(number)])


def claimed(lines: Lines, queues: list[Queue], number: int, slots: int, ahead: int = 0) -> Any:
    """Claim, and return how many jobs of each queue were given, and the answer."""
    call = claim_call(queues, "w", number, 3, slots=slots, ahead=ahead)
    answer = read_claim(checked(lines.run([call]))[0], queues)
    given = [sum(job.queue == queue.name for job in answer.jobs) for queue in queues]
    return given, answer


def test_a_claim_fills_its_room_in_the_order_of_the_queues(
    lines: Lines, queues: list[Queue]
) -> None:
    fill(queues, 3)
    given, answer = claimed(lines, queues, 1, slots=5)
    assert (given, answer.left) == ([3, 2, 0], True)
    given, answer = claimed(lines, queues, 2, slots=9, ahead=5)
    assert (given, answer.left) == ([0, 1, 3], False)
    assert set(answer.states.values()) == {"ok"}
    assert claimed(lines, queues, 2, slots=9)[1].states["b"] == "seen"


def test_what_is_ahead_comes_after_free_slots(lines: Lines, queues: list[Queue]) -> None:
    fill(queues, 3, max_attempts=2)
    assert claimed(lines, queues, 1, slots=2, ahead=2)[0] == [3, 1, 0]


def test_a_claim_says_when_to_look_again(lines: Lines, queues: list[Queue]) -> None:
    assert claimed(lines, queues, 1, slots=5)[1].look is None
    fill(queues[2:], 1, delay=90)
    fill(queues[1:2], 1, delay=30)
    assert 20 < claimed(lines, queues, 2, slots=5)[1].look <= 30


def test_one_redis_that_is_away_stops_the_other_in_nothing(
    lines: Lines, queues: list[Queue], other: Server, client: Redis
) -> None:
    fill(queues, 2)
    other.signal(signal.SIGSTOP)
    beat, errors = beat_call(queues, 3000, ["w"]), []
    (reply,) = lines.run([beat])
    errors += [reply, *lines.troubles().values()]
    assert client.zscore("jobs:a:workers", "w") - client.time()[0] * 1000 > 2_000_000
    given, answer = claimed(lines, queues, 1, slots=3)
    errors += lines.troubles().values()
    assert all(isinstance(error, Exception) for error in errors)
    assert len(errors) == 3
    assert (given, answer.states) == ([2, 0, 1], {"a": "ok", "b": "away", "c": "ok"})
    other.signal(signal.SIGCONT)
    assert lines.run([beat]) == [[]]
    assert claimed(lines, queues, 2, slots=3)[0] == [0, 2, 1]
    assert lines.troubles() == {}


def test_each_queue_is_swept_and_reported_under_its_own_number(
    lines: Lines, queues: list[Queue], client: Redis, other: Server
) -> None:
    fill(queues, 2)
    claimed(lines, queues, 1, slots=6)
    (found,) = lines.run([sweep_call(queues, "w", 1, [b"0"] * 3, [None, None, None])])
    assert [len(one[2:]) / 3 for one in found] == [2, 2, 2]
    ((id, *_),) = [list(other.client.hkeys("jobs:b:processing"))[:1]]
    assert queues[1].stop(id.decode())
    assert queues[2].order("w", "quiet")
    assert lines.run([report_call(queues, {"w": "{}"})]) == [[b"job 2 " + id, b"quiet"]]


def test_each_queue_is_swept_by_its_own_rules(lines: Lines, queues: list[Queue]) -> None:
    fill(queues, 1)
    for queue in queues:
        with pytest.raises(ZeroDivisionError):
            queue.pull(lambda job: 1 / 0)

    def only_the_second_is_left() -> bool:
        checked(lines.run([sweep_call(queues, "w", 1, [b"0"] * 3, [0.001, None, 0.001])]))
        return [queue.stats().failed for queue in queues] == [0, 1, 0]

    wait_until(only_the_second_is_left)


@pytest.mark.parametrize(
    ("url", "hosts", "service", "said"),
    [
        ("redis+cluster://a,b:1", [("a", 6379), ("b", 1)], "", {}),
        ("redis+cluster://me:p%40@a/0", [("a", 6379)], "", {"password": "p@", "db": 0}),
        ("redis+sentinel://a,[::1]:7/m", [("a", 26379), ("::1", 7)], "m", {}),
        ("redis+sentinel://:x@a/m/3?socket_timeout=2", [("a", 26379)], "m", {"db": 3}),
    ],
)
def test_urls_are_read(url: str, hosts: Any, service: str, said: dict[str, Any]) -> None:
    address = read_url(url)
    assert (address.hosts, address.service) == (hosts, service)
    assert said.items() <= address.options.items()


def test_sentinels_have_a_password_of_their_own() -> None:
    address = read_url(
        "rediss+sentinel://u:redis@a/m?sentinel_password=theirs&ssl_check_hostname=no&ssl_ca_certs=x"
    )
    assert address.options["password"] == "redis"
    assert address.asking["password"] == "theirs"
    assert "username" not in address.asking
    assert {"ssl_ca_certs", "connection_class"} <= address.asking.keys() & address.options.keys()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://a", "names no service"),
        ("redis+sentinel://a/m/x", "number of a database"),
        ("redis+cluster://a/1", "a cluster has only 0"),
        ("redis+cluster://a,,b", "a host is missing"),
        ("redis+cluster://", "a host is missing"),
    ],
)
def test_urls_that_lead_nowhere_are_refused(url: str, why: str) -> None:
    with pytest.raises(BadURL, match=why):
        read_url(url)


def test_a_master_that_became_a_replica_is_left_for_the_new_one(
    client: Redis, other: Server
) -> None:
    proxy = Proxy(client.connection_pool.connection_kwargs["port"])
    queue = Queue("a", get_client(proxy.url))
    try:
        queue.push()
        client.replicaof("127.0.0.1", other.port)
        proxy.port = other.port  # as the name of a managed Redis leads elsewhere
        queue.push()
    finally:
        client.replicaof("NO", "ONE")
        proxy.close()
    assert Queue("a", other.client).stats().active == 1
