"""A push with the outbox: a row in the transaction, one round trip at the commit, no row left."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from opentelemetry import context, propagate
from redis import Redis

from django_jobs import Empty, get_batch, get_queue, push, push_batch, push_job, push_jobs
from django_jobs.exceptions import PushError
from django_jobs.options import NewJob
from django_jobs.outbox import carrier, delivery, rows
from django_jobs.outbox.models import OutboxJob
from django_jobs.outbox.relay import Relay, relay_all
from django_jobs.telemetry import spans
from tests.outbox.conftest import Reads, ids_in_outbox
from tests.testapp.models import Note

DEAD = "redis://127.0.0.1:1/0"  # nobody listens there
AWAY = override_settings(JOBS={"URL": DEAD})

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "third"]),
    pytest.mark.usefixtures("client"),
]


class Undo(Exception):
    """Makes a block roll back."""


def waiting() -> list[str]:
    """Return the ids that were pushed, oldest first."""
    found: Any = get_queue().client.lrange("jobs:default:active", 0, -1)
    return [id.decode() for id in reversed(found)]


def statements(queries: CaptureQueriesContext) -> list[str]:
    """Return the first word of each statement about the outbox."""
    return [q["sql"].split()[0] for q in queries.captured_queries if "outbox" in q["sql"]]


# What a commit costs.


@pytest.mark.parametrize("many", [False, True])
def test_one_round_trip_and_one_delete_for_all_of_a_transaction(
    many: bool, round_trips: Reads
) -> None:
    push_job("test.quick")  # connects, and announces the queue
    round_trips()
    with CaptureQueriesContext(connections["default"]) as queries:
        with transaction.atomic():
            if many:
                ids = push_jobs("test.quick", [{}] * 100)
            else:
                ids = [push_job("test.quick") for _ in range(100)]
            assert ids_in_outbox() == ids
            assert round_trips() == 0
    inserts = 1 if many else 100
    assert statements(queries) == ["INSERT"] * inserts + ["SELECT", "DELETE"]
    assert round_trips() == 1
    assert waiting()[1:] == ids
    assert ids_in_outbox() == []


def test_what_survived_its_savepoints_goes_in_one_round_trip(round_trips: Reads) -> None:
    push_job("test.quick")
    kept = []
    with transaction.atomic():
        with transaction.atomic():
            kept.append(push_job("test.quick"))
        with pytest.raises(Undo), transaction.atomic():
            push_job("test.quick")
            raise Undo
        for _ in range(3):
            with transaction.atomic():
                kept.append(push_job("test.quick"))
        kept.append(push_job("test.quick"))
        round_trips()
    assert round_trips() == 1
    assert waiting()[1:] == kept
    assert ids_in_outbox() == []


def test_every_kind_of_push_arrives(client: "Redis[bytes]") -> None:
    with transaction.atomic():
        later = push_job("test.quick", delay=60, expires=120)
        high = push_job("test.quick", priority=5, max_attempts=2, timeout=3)
        first, second = (push_job("test.quick", unique="one") for _ in range(2))
        email = push_job("test.add", [1, 2], queue="email", result_ttl=9)
    queue, record = get_queue(), get_queue().job(high)
    assert record is not None
    assert (record.priority, record.max_attempts, record.timeout) == (5, 2, 3)
    assert queue.stats().scheduled == 1
    assert queue.job(later) is not None
    assert queue.job(second) == queue.job(first)
    assert get_queue("email").job(email).payload == b"[1,2]"  # type: ignore[union-attr]
    assert ids_in_outbox() == []


# Redis away.


def test_a_commit_without_redis_tells_once_and_loses_nothing(
    told: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    with AWAY:
        ids = []
        for _ in range(3):
            with transaction.atomic():
                ids += [push_job("test.quick"), *push_jobs("test.quick", [{}] * 2)]
                transaction.on_commit(lambda: ran.append("hook"))
    assert ran == ["hook"] * 3
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "3 job(s) stay in the outbox of database default" in record.getMessage()
    assert [said["id"] for said in told] == ids
    assert isinstance(told[0]["error"], PushError)
    assert carrier.delayed == {"default": 9}
    assert ids_in_outbox() == ids
    assert relay_all() == 9
    assert waiting() == ids
    assert ids_in_outbox() == []


def test_a_silent_redis_delays_a_commit_once(silent_redis: str) -> None:
    with override_settings(JOBS={"URL": silent_redis}):
        began = time.monotonic()
        with transaction.atomic():
            for _ in range(10):
                push_job("test.quick")
        assert time.monotonic() - began < 3
    assert len(ids_in_outbox()) == 10


def test_the_trace_of_a_push_waits_with_it(
    client: "Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "around", spans.pushing)
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    token = context.attach(propagate.extract({"traceparent": trace}))
    with AWAY, transaction.atomic():
        id = push_job("test.quick")
    context.detach(token)
    assert relay_all() == 1
    headers = json.loads(client.hget(f"jobs:default:job:{id}", "trace") or b"{}")
    assert headers == {"traceparent": trace}


@pytest.mark.parametrize("using", [None, "other"])
def test_without_a_transaction_a_job_is_saved_if_redis_is_away(
    using: str | None, told: list[dict[str, Any]]
) -> None:
    options: Any = {"using": using} if using else {}
    with AWAY:
        id = push_job("test.quick", **options)
    assert ids_in_outbox(using or "default") == [id]
    assert [said["id"] for said in told] == [id]
    assert relay_all() == 1
    assert waiting() == [id]


def test_without_the_fallback_it_raises() -> None:
    with override_settings(JOBS={"URL": DEAD, "OUTBOX_FALLBACK": False}):
        with pytest.raises(PushError):
            push_job("test.quick")
        with transaction.atomic():
            id = push_job("test.quick")
    assert ids_in_outbox() == [id]


def test_a_full_redis_takes_its_jobs_later(client: "Redis[bytes]") -> None:
    client.config_set("maxmemory", 1)
    try:
        with transaction.atomic():
            id = push_job("test.quick")
        assert relay_all() == 0
    finally:
        client.config_set("maxmemory", 0)
    assert ids_in_outbox() == [id]
    assert relay_all() == 1
    assert waiting() == [id]


def test_one_redis_away_and_one_spoiled_queue_harm_no_other(client: "Redis[bytes]") -> None:
    client.set("jobs:spoiled:active", "not a list")
    with override_settings(JOBS={"QUEUES": {"away": {"URL": DEAD}}}):
        with transaction.atomic():
            away = push_job("test.quick", queue="away")
            spoiled = push_job("test.quick", queue="spoiled")
            good = push_job("test.quick")
        assert waiting() == [good]
        assert ids_in_outbox() == [away, spoiled]
        with AWAY, transaction.atomic():
            second = push_job("test.quick")
        assert relay_all() == 1
        assert waiting() == [good, second]
    client.delete("jobs:spoiled:active")
    assert relay_all() == 2
    assert ids_in_outbox() == []


# The relay.


def test_a_relay_leaves_young_rows_to_their_commit_and_keeps_the_order() -> None:
    relay = Relay("default")
    with AWAY:
        for _ in range(3):
            with transaction.atomic():
                push_jobs("test.quick", [{}] * 700)
    ids = ids_in_outbox()
    assert relay.relay(age=60) == 0
    assert relay.relay() == 2100
    assert waiting() == ids


def test_a_delay_counts_from_the_push(client: "Redis[bytes]") -> None:
    with AWAY, transaction.atomic():
        over = push_job("test.quick", delay=timedelta(minutes=5), expires=300.5)
        ahead = push_job("test.quick", delay=timedelta(hours=2))
    OutboxJob.objects.update(created_at=F("created_at") - timedelta(hours=1))
    assert relay_all() == 2
    assert waiting() == [over]
    due = get_queue().job(ahead).due_at  # type: ignore[union-attr]
    seconds, _ = client.time()
    assert due is not None
    assert abs(due.timestamp() - seconds - 3600) < 30
    with pytest.raises(Empty):
        get_queue().pull(lambda job: None)
    assert get_queue().job(over).state == "failed"  # type: ignore[union-attr]


def test_a_row_that_nobody_can_read_stays_and_delays_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    relay = Relay("default")
    with AWAY, transaction.atomic():
        unknown, bad, good = (push_job("test.quick") for _ in range(3))
    OutboxJob.objects.filter(pk=unknown).update(job='{"id": "1", "of_a_later_release": 2}')
    OutboxJob.objects.filter(pk=bad).update(queue="no queue")
    caplog.clear()
    assert [relay.relay(), relay.relay()] == [1, 0]
    assert waiting() == [good]
    assert ids_in_outbox() == [unknown, bad]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2


def test_what_keeps_a_relay_from_its_work_is_said_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    relay = Relay("default")
    with AWAY:
        with transaction.atomic():
            push_job("test.quick")
        OutboxJob.objects.update(created_at=Now() - timedelta(minutes=1))
        caplog.clear()
        relay.turn()
        relay.turn()
    relay.turn()
    relay.turn()
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        "The outbox of database default waits",
        "The outbox of database default is relayed again.",
    ]
    assert len(waiting()) == 1


# An id is pushed once.


def one_row() -> tuple[str, dict[str, Any]]:
    """Save a job without Redis; return its id, and the row."""
    with AWAY, transaction.atomic():
        id = push_job("test.quick")
    return id, OutboxJob.objects.filter(pk=id).values().get()


@pytest.mark.parametrize("end", ["waits", "ran", "failed and was discarded"])
def test_an_id_is_pushed_once_also_when_its_job_has_ended(end: str) -> None:
    id, row = one_row()
    assert relay_all() == 1
    if end == "ran":
        assert get_queue().pull(lambda job: job.id) == id
    elif end != "waits":
        get_queue().fail(id, "enough")
        get_queue().discard(id)
    before = get_queue().stats()
    OutboxJob.objects.create(**row)
    assert relay_all() == 1
    assert get_queue().stats() == before
    assert ids_in_outbox() == []


def test_a_push_that_another_stands_for_is_not_made_when_that_one_has_ended() -> None:
    with AWAY, transaction.atomic():
        ids = [push_job("test.quick", unique="one") for _ in range(2)]
    saved = list(OutboxJob.objects.values())
    assert relay_all() == 2
    assert get_queue().pull(lambda job: job.id) == ids[0]
    OutboxJob.objects.bulk_create([OutboxJob(**row) for row in saved])
    assert relay_all() == 2
    assert get_queue().stats().active == 0


def test_a_batch_is_pushed_and_ends_once(client: "Redis[bytes]") -> None:
    with AWAY, transaction.atomic():
        batch = push_batch(["test.quick"] * 3, on_success="test.add")
        with pytest.raises(Undo), transaction.atomic():
            push_batch(["test.quick"])
            raise Undo
    saved = list(OutboxJob.objects.values())
    assert len(saved) == relay_all() == 3 + 1 + 1
    ran = [get_queue().pull(lambda job: job.handler) for _ in range(4)]
    assert ran == ["test.quick"] * 3 + ["test.add"]
    assert get_batch(batch).succeeded == 3  # type: ignore[union-attr]
    client.delete(*client.keys("jobs:default:batch*"))
    OutboxJob.objects.bulk_create([OutboxJob(**row) for row in saved])
    assert relay_all() == 5
    assert get_queue().stats().active == 0
    assert client.keys("jobs:default:batch*") == []


def test_a_tombstone_lasts_as_long_as_the_row_and_then_not_much_longer(
    client: "Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction.atomic():
        first = push_job("test.quick")
    assert client.pttl(f"jobs:default:pushed:{first}") > delivery.WHILE_A_ROW - 60_000
    with transaction.atomic():
        second = push_job("test.quick")
    assert client.pttl(f"jobs:default:pushed:{first}") > delivery.WHILE_A_ROW - 60_000
    monkeypatch.setattr(delivery, "DURABLE", 0)
    with transaction.atomic():
        push_job("test.quick")
    for id in (first, second):
        assert 0 < client.pttl(f"jobs:default:pushed:{id}") <= delivery.AFTERWARDS


def test_a_queue_without_the_outbox_leaves_no_tombstones(client: "Redis[bytes]") -> None:
    get_queue().push()
    get_queue().add([NewJob("1" * 32, "h", "{}")])
    assert client.keys("jobs:default:pushed:*") == []


def test_who_was_frozen_leaves_its_jobs_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction.atomic():
        id = push_job("test.quick")
        monkeypatch.setattr(delivery, "LATE", 0)
    assert waiting() == []
    assert ids_in_outbox() == [id]


# Without the table.


@override_settings(MIGRATION_MODULES={"testapp": "tests.testapp.pushing"})
def test_before_the_table_is_there_it_is_on_commit_and_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def migrate(app: str, name: str = "") -> None:
        call_command("migrate", app, *([name] if name else []), database="other", verbosity=0)

    migrate("django_jobs_outbox", "zero")
    try:
        migrate("testapp", "0001")
        assert len(waiting()) == 1
        migrate("testapp", "zero")
        with transaction.atomic(using="other"):
            kept = [push_job("test.quick"), push_job("test.quick")]
            assert len(waiting()) == 1
        assert waiting()[1:] == kept
        with pytest.raises(Undo), transaction.atomic(using="other"):
            push_job("test.quick")
            raise Undo
        with override_settings(JOBS={"URL": DEAD}), pytest.raises(PushError):
            push_job("test.quick", using="other")
        assert [record.getMessage()[:28] for record in caplog.records].count(
            "Database other has no outbox"
        ) == 1
        assert "other" not in rows.databases()
    finally:
        migrate("django_jobs_outbox")
    with transaction.atomic(using="other"):
        id = push_job("test.quick")
        assert ids_in_outbox("other") == [id]


def test_a_database_error_at_the_commit_leaves_the_rows(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.strip().startswith("DELETE"):
            raise connections["default"].Database.OperationalError("the disk is full")
        return execute(sql, *rest)

    with connections["default"].execute_wrapper(refuse), transaction.atomic():
        Note.objects.create(text="placed")
        id = push_job("test.quick")
    assert waiting() == ids_in_outbox() == [id]
    assert "left to the relay: the disk is full" in caplog.text
    assert get_queue().pull(lambda job: job.id) == id
    assert relay_all() == 1
    assert waiting() == ids_in_outbox() == []
