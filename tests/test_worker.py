"""A worker's main loop, in the test's own thread, beside a supervisor that only beats."""

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, connections
from redis import Redis

from django_jobs import Fail, Job, Retry, databases, handler
from django_jobs.beats import heart
from django_jobs.claims import beat_call, claim_call, new_worker
from django_jobs.flight import FlightTable
from django_jobs.line import run
from django_jobs.queue import Queue
from django_jobs.record import Attempt
from django_jobs.signals import job_failed, job_recovered, job_retried, job_started, job_succeeded
from django_jobs.sweeper import Sweeper
from django_jobs.worker import RECYCLE, Worker
from django_jobs.worker_options import WorkerOptions
from tests.conftest import wait_until
from tests.testapp.models import Note

ran: list[tuple[str, int]] = []
during: list[Callable[[], object]] = []  # what the next `worker.do` does


@handler("worker.do", backoff=0)
def do(job: Job) -> None:
    """Do what the test asks for, once."""
    ran.append((job.id, job.attempt))
    if during:
        during.pop()()


@handler("worker.do_async", backoff=0)
async def do_async(job: Job) -> None:
    """Use a database from the event loop."""
    await Note.objects.acreate(text=job.id)
    ran.append((job.id, job.attempt))


@handler("worker.sleep_async", backoff=0, timeout=0.1, max_attempts=1)
async def sleep_async(job: Job) -> None:
    """Sleep past the timeout."""
    await asyncio.sleep(60)


class Bench:
    """A worker of a queue, its table, and the supervisor's end of its pipe."""

    def __init__(self, client: Redis) -> None:
        self.queue = Queue("email", client, lease=3)
        self.table = FlightTable(multiprocessing.get_context("fork"), 1000)
        self.table.worker = new_worker()
        self.pipe, self.theirs = multiprocessing.Pipe()
        self.worked = False

    def beat(self) -> None:
        """Do what a supervisor does for its child."""
        run(self.queue.client, beat_call([self.queue], 3, [self.table.worker]))

    def work(self, **options: object) -> int:
        """Run the worker until it has drained the queue, or is told to stop."""
        options = {"drain": True, "lease": 3.0, "concurrency": 2, **options}
        chosen = WorkerOptions(**options)  # type: ignore[arg-type]
        if self.worked:
            self.table.worker = new_worker()  # an id is never used twice
        self.worked = True
        worker = Worker([self.queue], self.open, self.table, self.theirs, chosen)
        self.beat()
        number = heart.add(0.1, self.beat)
        try:
            return worker.run()
        finally:
            heart.remove(number)

    def open(self, name: str) -> Queue:
        """Open a queue that the supervisor has told of."""
        return Queue(name, self.queue.client, lease=3)


@pytest.fixture
def bench(client: Redis) -> Iterator[Bench]:
    ran.clear()
    during.clear()
    bench = Bench(client)
    yield bench
    ends: tuple[Connection, ...] = (bench.pipe, bench.theirs)
    for end in ends:
        end.close()


def raising(error: BaseException) -> Callable[[], object]:
    def do() -> None:
        raise error

    return do


def test_each_outcome_goes_where_it_belongs_and_is_told(bench: Bench) -> None:
    told: list[str] = []
    signals = [job_started, job_succeeded, job_retried, job_failed]
    for name, signal in zip(["started", "succeeded", "retried", "failed"], signals, strict=True):
        signal.connect(lambda name=name, **said: told.append(name), weak=False, dispatch_uid=name)
    for error in (Fail("no"), Retry("later", after=600), ValueError("again")):
        ran.clear()
        during.append(raising(error))
        bench.queue.push(handler="worker.do")
        assert bench.work() == 0
    for name, signal in zip(["started", "succeeded", "retried", "failed"], signals, strict=True):
        signal.disconnect(dispatch_uid=name)
    assert [attempt for _, attempt in ran] == [1, 2]  # the last: again, then succeeded
    stats = bench.queue.stats()
    assert (stats.active, stats.processing, stats.scheduled, stats.failed) == (0, 0, 1, 1)
    assert told.count("started") == 4
    assert told.count("retried") == 2
    assert (told.count("failed"), told.count("succeeded")) == (1, 1)
    assert not bench.table.flights()


def test_what_nobody_knows_fails_when_draining(bench: Bench) -> None:
    bench.queue.push(handler="worker.gone")
    bench.queue.client.hset(
        f"jobs:email:job:{bench.queue.push(handler='worker.do')}", "payload", "{"
    )
    assert bench.work() == 0
    names = {record.exception.rsplit(".", 1)[1] for record in bench.queue.failed()}
    assert names == {"UnknownHandler", "PayloadError"}


def test_told_to_stop_it_gives_back_what_has_not_begun_in_order(bench: Bench) -> None:
    def stop() -> None:
        bench.pipe.send(("stop",))

    ids = [bench.queue.push(handler="worker.do") for _ in range(5)]
    during.append(stop)
    assert bench.work(concurrency=1, drain=False) == 0
    left = [bench.queue.pull(lambda job: job.id) for _ in range(bench.queue.stats().active)]
    assert [id for id, _ in ran] + left == ids
    assert bench.queue.stats().processing == 0


def test_told_of_a_queue_it_serves_it(bench: Bench) -> None:
    late = bench.open("late")
    id = late.push(handler="worker.do")
    run(late.client, beat_call([late], 3, [bench.table.worker]))
    bench.pipe.send(("queues", ["late"]))
    assert bench.work() == 0
    assert ran == [(id, 1)]


def test_after_so_many_jobs_it_asks_to_be_renewed(bench: Bench) -> None:
    for _ in range(20):
        bench.queue.push(handler="worker.do")
    assert bench.work(max_jobs=3, concurrency=2) == RECYCLE
    assert len(ran) == 3
    assert bench.queue.stats().processing == 0
    left = bench.queue.stats().active
    assert bench.work(max_memory=1, concurrency=1) == RECYCLE
    assert bench.queue.stats().active < left  # however small the limit, it does something


def test_a_worker_that_was_closed_drops_its_jobs_and_goes_on_under_a_new_id(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first = bench.table.worker

    def close() -> None:
        run(bench.queue.client, bench.queue.close(first))
        ((token, owner),) = [(1, first)]
        run(bench.queue.client, bench.queue.release(owner, [(ids[0], token)]))

    ids = [bench.queue.push(handler="worker.do") for _ in range(3)]
    during.append(close)
    assert bench.work(concurrency=1) == 0
    assert bench.table.worker != first
    assert {id for id, _ in ran} == set(ids)
    assert bench.queue.stats().processing == bench.queue.stats().active == 0


def test_connections_that_break_cost_nothing(bench: Bench, client: Redis) -> None:
    def hang_up() -> None:
        client.client_kill_filter(_type="normal", skipme=True)

    ids = [bench.queue.push(handler="worker.do") for _ in range(50)]
    during.append(hang_up)
    assert bench.work() == 0
    assert sorted(ran) == sorted((id, 1) for id in ids)
    assert bench.queue.stats().processing == 0


def test_it_takes_over_from_the_dead(bench: Bench) -> None:
    recovered: list[str] = []
    job_recovered.connect(lambda id, **said: recovered.append(id), weak=False, dispatch_uid="dead")
    ids = [bench.queue.push(handler="worker.do") for _ in range(3)]
    run(bench.queue.client, beat_call([bench.queue], 3, ["dead"]))
    run(bench.queue.client, claim_call([bench.queue], "dead", 1, 3, slots=3))
    bench.queue.client.zadd("jobs:email:workers", {"dead": 1})

    def stop_when_all_ran() -> None:
        if len(ran) == 3:
            bench.pipe.send(("stop",))
        else:
            during.append(stop_when_all_ran)

    during.append(stop_when_all_ran)
    assert bench.work(drain=False, lease=1.0) == 0
    job_recovered.disconnect(dispatch_uid="dead")
    assert sorted(ran) == sorted((id, 2) for id in ids)
    assert sorted(recovered) == sorted(ids)


def test_what_it_holds_and_does_not_know_is_given_back(bench: Bench) -> None:
    """As on a promoted replica that missed a settle."""
    id = bench.queue.push(handler="worker.do")
    bench.beat()
    run(bench.queue.client, claim_call([bench.queue], bench.table.worker, 1, 3, slots=1))
    bench.queue.client.hdel("jobs:email:claims", bench.table.worker)
    during.append(lambda: bench.pipe.send(("stop",)))
    assert bench.work(drain=False) == 0
    assert ran == [(id, 1)]


def test_a_token_that_is_no_number_ends_no_worker(bench: Bench) -> None:
    id = bench.queue.push(handler="worker.do")
    bench.beat()
    run(bench.queue.client, claim_call([bench.queue], bench.table.worker, 1, 3, slots=1))
    bench.queue.client.hset(f"jobs:email:job:{id}", "token", "many")
    assert bench.work() == 0


def test_a_timeout_ends_an_async_run(bench: Bench) -> None:
    bench.queue.push(handler="worker.sleep_async", max_attempts=1)
    assert bench.work() == 0
    (record,) = bench.queue.failed()
    assert record.exception == "django_jobs.exceptions.JobTimeout"


def test_jobs_that_wait_behind_a_long_one_are_given_back(bench: Bench) -> None:
    others: list[str] = []

    def look_until_another_worker_can_have_them() -> None:
        wait_until(lambda: bench.queue.stats().active > 1)
        others.extend(bench.queue.pull(lambda job: job.id) for _ in range(2))

    ids = [bench.queue.push(handler="worker.do") for _ in range(200)]
    during.append(look_until_another_worker_can_have_them)
    during.extend([lambda: None] * 150)  # done first, so that jobs are claimed ahead
    assert bench.work(concurrency=1) == 0
    assert len(others) == 2
    assert sorted([*others, *(id for id, _ in ran)]) == sorted(ids)


def test_it_tells_what_its_supervisor_recovered(bench: Bench) -> None:
    told: list[dict[str, object]] = []
    job_recovered.connect(lambda **said: told.append(said), weak=False, dispatch_uid="told")
    bench.pipe.send(("recovered", "email", [("1", "dead"), ("2", "dead")], ["active", ""]))
    assert bench.work() == 0
    job_recovered.disconnect(dispatch_uid="told")
    assert [said["id"] for said in told] == ["1"]


def test_idle_it_is_woken_by_a_push(bench: Bench) -> None:
    def sleeps() -> bool:
        return any(client["cmd"] == "blpop" for client in bench.queue.client.client_list())

    def push_when_it_sleeps() -> None:
        try:
            wait_until(sleeps)
            bench.queue.push(handler="worker.do")
            wait_until(lambda: ran, 2)  # the worker itself looks only every 5 s
        finally:
            bench.pipe.send(("stop",))

    pusher = threading.Thread(target=push_when_it_sleeps)
    pusher.start()
    assert bench.work(drain=False) == 0
    pusher.join()
    assert len(ran) == 1


def test_a_queue_with_a_key_of_a_wrong_type_is_named(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.queue.client.set("jobs:email:active", "no list")
    assert bench.work() == 0
    assert "email cannot be claimed from: active" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_connections_of_handlers_stay_while_healthy(bench: Bench) -> None:
    seen: list[object] = []

    def look() -> None:
        Note.objects.count()
        seen.append(connection.connection)

    for _ in range(2):
        bench.queue.push(handler="worker.do")
        during.append(look)
    id = bench.queue.push(handler="worker.do_async")
    assert bench.work(concurrency=1) == 0
    assert seen[0] is seen[1] is not None
    assert Note.objects.filter(text=id).exists()


def in_a_thread(look: Callable[[], object]) -> object:
    """Return what a thread returns: its database connections are its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(look).result()


@pytest.mark.django_db(transaction=True)
def test_connections_are_closed_when_left_open_or_idle(tmp_path: Path) -> None:
    def look() -> list[bool]:
        file = connections.create_connection("default")  # Django never closes one in memory
        file.settings_dict = {**file.settings_dict, "NAME": tmp_path / "a.sqlite3"}
        connections["default"] = file
        kept = []
        for leave_open, idle in ((False, False), (True, False), (False, True)):
            file.ensure_connection()
            file.set_autocommit(not leave_open)
            databases.tidy(idle=idle)
            kept.append(file.connection is not None)
        return kept

    assert in_a_thread(look) == [True, False, False]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_cannot_be_closed_ends_no_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: object) -> None:
        raise DatabaseError("gone")

    def leave_open() -> None:
        Note.objects.count()
        connection.set_autocommit(False)

    monkeypatch.setattr(type(connections["default"]), "close_if_unusable_or_obsolete", refuse)
    ids = [bench.queue.push(handler="worker.do") for _ in range(2)]
    during.append(leave_open)
    assert bench.work(concurrency=1) == 0
    assert [id for id, _ in ran] == ids
    assert "could not be closed: gone" in caplog.text


def test_who_takes_jobs_back_says_whose_they_were(queue: Queue) -> None:
    id = queue.push(handler="h")
    run(queue.client, beat_call([queue], 0.05, ["dead"]))
    run(queue.client, claim_call([queue], "dead", 1, 0.05, slots=1))
    sweeper = Sweeper(0.05, lambda _: None, lambda *_: None)

    def errors() -> tuple[Attempt, ...]:
        for call, apply in sweeper.calls([queue], "w2", look=True):
            apply(run(queue.client, call))
        record = queue.job(id)
        assert record is not None
        return record.errors

    wait_until(errors)
    assert [(error.worker, error.began_at is None) for error in errors()] == [("dead", False)]
