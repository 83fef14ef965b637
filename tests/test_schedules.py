"""Schedules: how they are declared, what is due when, and each of their scripts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from django_jobs import handlers, schedules
from django_jobs.checks import check_schedules
from django_jobs.claims import ClaimAnswer, beat_call, claim_call, read_claim
from django_jobs.exceptions import OptionError
from django_jobs.handlers import handler
from django_jobs.invariants import check
from django_jobs.line import run
from django_jobs.options import new_job
from django_jobs.queue import Queue
from django_jobs.rhythm import Rhythm
from django_jobs.schedule import LATE, Schedule, ScheduleRecord
from django_jobs.schedules import all_schedules
from tests.machine import SETTINGS
from tests.schedule_machine import ScheduleMachine
from tests.test_transitions import dump

HOUR = 3_600_000
PROJECT = "shop"


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def clock(client: Redis) -> int:
    seconds, microseconds = client.time()  # type: ignore[misc]
    return int(seconds * 1000 + microseconds // 1000)


def schedule(name: str = "nightly", *, missed: str = "once", **options: Any) -> Schedule:
    rhythm = options.pop("rhythm", Rhythm(every=HOUR))
    payload = options.pop("payload", {"n": 1})
    job = new_job(payload, handler="shop.report", queue="email", limit=2**20, options=options)
    return Schedule(name, "email", rhythm, missed, job)


def define(queue: Queue, *some: Schedule, age: float = 100, project: str = PROJECT) -> Any:
    """Say what code says that began so many seconds ago."""
    return run(queue.client, queue.define(project, age, some))


def tell(queue: Queue, *some: Schedule, **options: Any) -> None:
    """Define schedules, and let a worker say when they are due."""
    define(queue, *some, **options)
    fire(queue, claim(queue, slots=0, worker="teller"))


def find(queue: Queue, name: str = "nightly") -> ScheduleRecord:
    record = queue.schedule(name)
    assert record is not None
    return record


def make_due(queue: Queue, ago: int, name: str = "nightly") -> int:
    """Let a schedule be due so many ms ago; time passes by moving scores into the past."""
    due = clock(queue.client) - ago
    queue.client.zadd(f"{queue.root}:schedules", {name: due})
    queue.client.hset(f"{queue.root}:meta", "schedules_at", due)
    return due


def claim(queue: Queue, number: int = 1, *, slots: int = 10, worker: str = "w1") -> ClaimAnswer:
    run(queue.client, beat_call([queue], 15, [worker]))
    reply = run(queue.client, claim_call([queue], worker, number, 15, slots=slots))
    return read_claim(reply, [queue])


def fire(queue: Queue, answer: ClaimAnswer) -> list[int]:
    return [run(queue.client, queue.fire(due, answer.now)) for due in answer.due]


def kinds(queue: Queue, name: str = "nightly") -> list[str]:
    return [one.kind for one in find(queue, name).recent]


# When it is due.


@pytest.mark.parametrize(
    ("zone", "after", "cron", "expected"),
    [  # spring: 02:30 does not exist, it runs when the hour is over; autumn: 02:30 comes twice
        (
            "Europe/Berlin",
            "2026-03-28T12:00",
            "30 2 * * *",
            ["2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        (
            "Europe/Berlin",
            "2026-10-24T12:00",
            "30 2 * * *",
            ["2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        (
            "America/New_York",
            "2026-03-07T12:00",
            "30 2 * * *",
            ["2026-03-08T07:00", "2026-03-09T06:30"],
        ),
        (
            "America/New_York",
            "2026-10-31T12:00",
            "30 1 * * *",
            ["2026-11-01T05:30", "2026-11-02T06:30"],
        ),
        ("UTC", "2026-02-28T12:00", "0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ],
)
def test_a_daily_time_comes_once_a_day_also_when_clocks_change(
    zone: str, after: str, cron: str, expected: list[str]
) -> None:
    rhythm, moment = Rhythm(cron, timezone=zone), ms(after, zone)
    for text in expected:
        moment = rhythm.after(moment)
        assert moment == ms(text)


@pytest.mark.parametrize(
    ("zone", "second_time", "cron"),
    [
        ("Europe/Berlin", "2026-10-25T01:10", "30 2 * * *"),
        ("America/New_York", "2026-11-01T06:10", "30 1 * * *"),
    ],
)
def test_in_the_hour_that_comes_twice_nothing_is_due_again(
    zone: str, second_time: str, cron: str
) -> None:
    moment = ms(second_time)
    assert Rhythm(cron, timezone=zone).after(moment) - moment > 20 * HOUR


def test_every_counts_from_the_epoch_so_that_all_agree() -> None:
    rhythm = Rhythm(every=300_000)
    assert rhythm.after(0) == rhythm.after(299_999) == 300_000
    assert rhythm.after(300_000) == 600_000


def test_what_no_machine_can_tell_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no occurrence of"):
        Rhythm("0 3 * * *", timezone="Mars/Olympus").after(0)
    with pytest.raises(ValueError, match="no occurrence of"):
        Rhythm("nonsense", timezone="UTC").after(0)


# Declared.


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No handler but those of the test."""
    monkeypatch.setattr(handlers, "_registry", {})
    yield


def report(job: object) -> None:
    """Do nothing."""


def declare(name: str = "shop.report", **options: Any) -> None:
    handler(name, **options)(report)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cron": "99 * * * *"}, "Bad minute"),
        ({"cron": "0 3 * *"}, "not five fields"),
        ({"cron": "* * * * * *"}, "not five fields"),
        ({"cron": 5}, "not five fields"),
        ({"cron": "0 0 30 2 *"}, "Bad day-of-month"),
        ({"cron": "0 3 * * *", "timezone": "Berlin"}, "timezone is 'Berlin'"),
        ({"cron": "0 3 * * *", "every": 5}, "exclude each other"),
        ({"every": 0.5}, "from one second"),
        ({"every": "5m"}, "from one second"),
        ({"every": float("nan")}, "from one second"),
        ({"every": True}, "from one second"),
        ({"every": 60, "timezone": "UTC"}, "of no use with every"),
        ({"timezone": "UTC"}, "needs a cron expression"),
        ({"missed": "skip"}, "needs cron or every"),
        ({"every": 60, "missed": "twice"}, "missed is 'twice'"),
    ],
)
@pytest.mark.usefixtures("registry")
def test_a_bad_option_fails_at_import_and_names_the_handler(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=rf"(?s)Handler 'shop.report'.*{words}"):
        declare(**options)


@pytest.mark.usefixtures("registry")
def test_a_name_that_no_schedule_can_have_is_refused_with_the_way_out() -> None:
    with pytest.raises(OptionError, match=r'JOBS\["SCHEDULES"\]'):
        declare("shop/report", every=60)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"cron": "0 3 * * *"}, "it has no handler"),
        ({"handler": "shop.reprot", "every": 60}, "Did you mean shop.report"),
        ({"handler": "shop.report"}, "does not say when"),
        ({"handler": "shop.report", "cron": "x"}, "not five fields"),
        ({"handler": "shop.report", "every": 60, "often": 1}, "'often' is no option"),
        ({"handler": "shop.report", "every": 60, "payload": {1}}, "is not JSON"),
        ({"handler": "shop.report", "every": 60, "priority": 1000}, "priority is 1000"),
        ({"handler": "shop.report", "every": 60, "missed": 1}, "missed is 1"),
        (
            {"handler": "shop.report", "every": 60, "expires": datetime(2030, 1, 1, tzinfo=UTC)},
            "expires is a number",
        ),
    ],
)
@pytest.mark.usefixtures("registry")
def test_a_bad_schedule_of_the_settings_is_a_check_error_that_names_it(
    settings: Any, one: dict[str, Any], words: str
) -> None:
    declare()
    settings.JOBS = {"SCHEDULES": {"nightly": one}}
    (found,) = check_schedules()
    assert found.id == "django_jobs.E006"
    assert found.msg.startswith("Schedule 'nightly': ")
    assert words in found.msg
    with pytest.raises(ImproperlyConfigured, match="nightly"):
        all_schedules()


@pytest.mark.parametrize(
    "value",
    [[], {"nightly": "0 3 * * *"}, {"nightly": {"queue": "a b"}}, {"nightly": {"queue": 1}}],
)
def test_settings_that_do_not_say_the_queues_cannot_be_used(settings: Any, value: Any) -> None:
    settings.JOBS = {"SCHEDULES": value}
    with pytest.raises(ImproperlyConfigured, match="SCHEDULES"):
        schedules.get_settings()
    assert check_schedules() == []  # the settings' own check says it


@pytest.mark.usefixtures("registry")
def test_two_schedules_of_a_name_and_a_bad_name_are_refused(settings: Any) -> None:
    declare(every=60)
    one = {"handler": "shop.report", "every": 60}
    settings.JOBS = {"SCHEDULES": {"shop.report": one, "a b": one}}
    twice, bad = check_schedules()
    assert "name this one apart" in twice.msg
    assert "cannot be named so" in bad.msg


@pytest.mark.usefixtures("registry")
def test_what_is_declared_takes_its_defaults_from_handler_queue_and_project(settings: Any) -> None:
    declare(cron="0  3 * * *", queue="reports", max_attempts=2, missed="skip")
    settings.TIME_ZONE = "Asia/Tokyo"
    settings.JOBS = {
        "SCHEDULES": {
            "often": {
                "handler": "shop.report",
                "payload": {"n": 1},
                "every": timedelta(minutes=5),
                "queue": "other",
                "priority": 3,
                "unique": "often",
                "expires": 60,
                "timeout": 5,
            }
        }
    }
    own, often = all_schedules()
    assert (own.name, own.queue, own.missed) == ("shop.report", "reports", "skip")
    assert own.rhythm == Rhythm("0 3 * * *", timezone="Asia/Tokyo")
    assert (own.job.payload, own.job.max_attempts) == ("null", 2)
    assert (often.name, often.queue, often.rhythm) == ("often", "other", Rhythm(every=300_000))
    assert (often.job.priority, often.job.unique, often.job.expires) == (3, "end:often", "+60000")
    assert {"reports", "other"} <= schedules_queues()


def schedules_queues() -> set[str]:
    from django_jobs.connection import declared_queues

    return declared_queues()


# Defined.


def test_define_writes_readable_fields_and_a_worker_says_when_it_is_due(
    queue: Queue, client: Redis
) -> None:
    define(queue, schedule(rhythm=Rhythm("0 3 * * *", timezone="Europe/Berlin"), priority=2))
    found = dump(client)
    since = int(found[b"jobs:email:schedule:nightly"].pop(b"since"))
    assert 90_000 < clock(client) - since < 110_000
    assert found == {
        b"jobs:email:schedule:nightly": {
            b"handler": b"shop.report",
            b"payload": b'{"n":1}',
            b"cron": b"0 3 * * *",
            b"timezone": b"Europe/Berlin",
            b"missed": b"once",
            b"priority": b"2",
            b"more": b"1",
            b"project": b"shop",
        },
        b"jobs:email:schedules": [(b"nightly", 0)],
        b"jobs:email:meta": {b"schedules_at": b"0"},
        b"jobs:email:wake": [b"1"],
    }
    assert find(queue).next_at is None
    assert not find(queue).overdue
    assert check(queue) == []
    assert fire(queue, claim(queue)) == [1]
    after = find(queue)
    assert after.next_at is not None
    assert after.next_at.astimezone(ZoneInfo("Europe/Berlin")).hour == 3
    assert -24 * 3600 <= after.late < 0
    assert after.recent == ()
    assert queue.stats().active == 0
    assert check(queue) == []


def test_define_again_changes_nothing_and_a_new_rhythm_is_due_anew(queue: Queue) -> None:
    tell(queue, schedule())
    make_due(queue, 5 * HOUR)
    queue.run_schedule("nightly")
    before, due = find(queue).recent, find(queue).next_at
    define(queue, schedule(payload={"n": 2}))
    after = find(queue)
    assert (after.recent, after.next_at, after.payload) == (before, due, b'{"n":2}')
    define(queue, schedule(rhythm=Rhythm(every=HOUR + 1)))
    assert find(queue).next_at is None
    assert fire(queue, claim(queue)) == [1]
    assert find(queue).recent == before


def test_of_two_definitions_that_of_the_code_which_began_later_stands(queue: Queue) -> None:
    define(queue, schedule(payload="new"), schedule("added"), age=20)
    define(queue, schedule(payload="old"), schedule("dropped"), age=30)
    assert find(queue).payload == b'"new"'
    assert {one.name for one in queue.schedules()} == {"nightly", "added", "dropped"}
    define(queue, schedule(payload="new"), schedule("added"), age=20)
    assert {one.name for one in queue.schedules()} == {"nightly", "added"}
    define(queue, age=30)
    assert {one.name for one in queue.schedules()} == {"nightly", "added"}
    assert check(queue) == []


def test_a_definition_from_the_future_gives_way(queue: Queue) -> None:
    define(queue, schedule(payload="old"), age=-3600)
    define(queue, schedule(payload="new"))
    assert find(queue).payload == b'"new"'


def test_define_removes_what_its_project_dropped_and_leaves_others_alone(
    queue: Queue, client: Redis
) -> None:
    define(queue, schedule())
    define(queue, schedule("theirs"), project="wiki")
    define(queue)
    assert [one.name for one in queue.schedules()] == ["theirs"]
    define(queue, project="wiki")
    assert set(dump(client)) == {b"jobs:email:wake"}


def test_define_leaves_schedules_of_a_wrong_type_alone(queue: Queue, client: Redis) -> None:
    client.set("jobs:email:schedules", "x")
    before = dump(client)
    assert define(queue, schedule()) == 0
    assert dump(client) == before
    client.hset("jobs:email:meta", "schedules_at", 1)
    assert claim(queue).states == {"email": "ok"}


def test_define_heals_a_definition_of_a_wrong_type(queue: Queue, client: Redis) -> None:
    client.set("jobs:email:schedule:nightly", "x")
    make_due(queue, 100)
    assert (claim(queue).due, claim(queue, 2).states) == ([], {"email": "ok"})
    define(queue, schedule())
    assert find(queue).handler == "shop.report"


def test_schedules_are_always_as_their_model_says(client: Redis) -> None:
    run_state_machine_as_test(
        lambda: ScheduleMachine(client), settings=settings(SETTINGS, max_examples=40)
    )


# Due.


def test_claim_names_what_is_due_and_when_to_look_for_what_is_not(queue: Queue) -> None:
    tell(queue, schedule(), schedule("later", rhythm=Rhythm("0 3 * * *", timezone="UTC")))
    answer = claim(queue)
    assert answer.due == []
    assert answer.look is not None
    assert 0 < answer.look <= 3600
    due = make_due(queue, 100)
    answer = claim(queue, 2)
    (found,) = answer.due
    assert (found.queue, found.name, found.due, found.missed) == (
        "email",
        b"nightly",
        b"%d" % due,
        "once",
    )
    assert found.rhythm == Rhythm(every=HOUR)
    assert abs(answer.now - clock(queue.client)) < 10_000


def test_also_a_paused_queue_and_a_worker_without_room_push_what_is_due(queue: Queue) -> None:
    tell(queue, schedule())
    queue.push(delay=0.001)
    queue.pause()
    answer = claim(queue, slots=0)
    assert answer.look is not None
    assert answer.look > 0, "a paused queue is not looked at for its jobs"
    make_due(queue, 100)
    answer = claim(queue, 2, slots=0)
    assert fire(queue, answer) == [1]
    assert kinds(queue) == ["pushed"]


def test_fire_pushes_the_job_once_and_sets_what_is_due_next(queue: Queue, client: Redis) -> None:
    tell(queue, schedule(max_attempts=3, timeout=9, expires=60))
    due = make_due(queue, 100)
    first, second = claim(queue), claim(queue, 1, worker="w2")
    client.delete("jobs:email:wake")
    assert fire(queue, first) == [1]
    before = dump(client)
    assert fire(queue, second) == [0]
    assert fire(queue, first) == [0]
    assert dump(client) == before
    answer = claim(queue, 2)
    (job,) = answer.jobs
    assert (job.handler, job.raw, job.max_attempts, job.timeout) == (
        "shop.report",
        b'{"n":1}',
        3,
        9,
    )
    record = queue.job(job.id)
    assert record is not None
    assert record.schedule == "nightly"
    assert record.occurrence == datetime.fromtimestamp(due / 1000, UTC)
    assert record.expires_at is not None
    state = find(queue)
    assert [(one.kind, one.job, one.at) for one in state.recent] == [
        ("pushed", job.id, record.occurrence)
    ]
    assert state.next_at == datetime.fromtimestamp(Rhythm(every=HOUR).after(due) / 1000, UTC)
    assert answer.look is not None
    assert check(queue) == []


def test_fire_wakes_a_worker_for_the_job_and_for_what_is_due_next(
    queue: Queue, client: Redis
) -> None:
    tell(queue, schedule(), schedule("skipped", missed="skip"))
    make_due(queue, 2 * LATE, "skipped")
    answer = claim(queue)
    client.delete("jobs:email:wake")
    client.hdel("jobs:email:meta", "alarm_worker", "alarm_at")
    assert fire(queue, answer) == [1]
    assert client.llen("jobs:email:wake") == 1, "nobody would look at what is due next"


def test_fire_does_nothing_if_the_definition_changed_meanwhile(queue: Queue, client: Redis) -> None:
    tell(queue, schedule())
    make_due(queue, 100)
    answer = claim(queue)
    define(queue, schedule(payload="new", rhythm=Rhythm(every=2 * HOUR)))
    queue.client.zadd("jobs:email:schedules", {"nightly": answer.due[0].due})
    before = dump(client)
    assert fire(queue, answer) == [0]
    assert dump(client) == before
    assert fire(queue, claim(queue, 2)) == [1]


def test_a_worker_that_cannot_tell_when_it_is_due_next_leaves_it(queue: Queue) -> None:
    tell(queue, schedule())
    queue.client.hset("jobs:email:schedule:nightly", mapping={"every": "", "cron": "?"})
    make_due(queue, 100)
    answer = claim(queue)
    with pytest.raises(ValueError, match="no occurrence"):
        fire(queue, answer)
    assert answer.look is None or answer.look > 0, "it would ask again at once, for ever"


@pytest.mark.parametrize(
    ("missed", "ago", "pushed", "recent"),
    [
        ("once", LATE // 2, 1, ["pushed"]),
        ("skip", LATE // 2, 1, ["pushed"]),
        ("once", 5 * HOUR, 1, ["pushed"]),
        ("skip", 5 * HOUR, 0, ["missed"]),
    ],
)
def test_what_was_missed_is_made_up_for_once_or_not_at_all(
    queue: Queue, missed: str, ago: int, pushed: int, recent: list[str]
) -> None:
    tell(queue, schedule(missed=missed))
    make_due(queue, ago)
    assert fire(queue, claim(queue)) == [1]
    assert queue.stats().active == pushed
    assert kinds(queue) == recent
    assert find(queue).late < 0 or ago < LATE
    assert not find(queue).overdue


def test_what_is_a_little_late_is_made_up_for_one_by_one(queue: Queue) -> None:
    tell(queue, schedule(rhythm=Rhythm(every=1000), missed="skip"))
    make_due(queue, 10_000)
    for number in range(1, 30):
        if not fire(queue, claim(queue, number, slots=0)):
            break
    occurrences = [one.at for one in find(queue).recent]
    assert len(occurrences) in (10, 11, 12)
    assert all(
        a and b and a - b == timedelta(seconds=1) for a, b in zip(occurrences, occurrences[1:-1])
    )


def test_where_another_job_of_its_key_stands_an_occurrence_is_skipped(queue: Queue) -> None:
    tell(queue, schedule(unique="report"))
    make_due(queue, 100)
    fire(queue, claim(queue, slots=0))
    make_due(queue, 100)
    fire(queue, claim(queue, 2, slots=0))
    skipped, pushed = find(queue).recent
    assert (skipped.kind, pushed.kind) == ("skipped", "pushed")
    assert skipped.job == pushed.job
    assert queue.stats().active == 1
    (job,) = claim(queue, 3).jobs
    run(queue.client, queue.settle_succeeded("w1", [(job.id, job.token)]))
    assert queue.run_schedule("nightly")
    assert queue.stats().active == 1, "its key was not free again"


def test_a_priority_and_a_schedule_of_nothing_but_a_handler(queue: Queue, client: Redis) -> None:
    tell(queue, schedule(priority=5), schedule("plain", payload=None))
    queue.push()
    queue.run_schedule("plain")
    queue.run_schedule("nightly")
    jobs = claim(queue).jobs
    assert [job.raw for job in jobs] == [b'{"n":1}', b"null", b"null"]
    assert jobs[0].priority == 5


def test_the_last_twenty_occurrences_are_kept(queue: Queue) -> None:
    tell(queue, schedule())
    ids = [queue.run_schedule("nightly") for _ in range(23)]
    assert [one.job for one in find(queue).recent] == ids[:2:-1]


# Operators.


def test_run_now_pushes_at_once_and_leaves_the_time_as_it_is(queue: Queue, client: Redis) -> None:
    tell(queue, schedule())
    before = find(queue).next_at
    id = queue.run_schedule("nightly")
    assert id is not None
    record = queue.job(id)
    assert record is not None
    assert (record.state, record.schedule) == ("active", "nightly")
    assert find(queue).next_at == before
    assert queue.run_schedule("gone") is None
    run(client, queue._call("run_schedule", "nightly", id))  # the answer was lost
    assert queue.stats().active == 1


def test_a_paused_schedule_pushes_nothing_and_makes_up_for_nothing(
    queue: Queue, client: Redis
) -> None:
    tell(queue, schedule())
    make_due(queue, 5 * HOUR)
    named = claim(queue)
    assert queue.pause_schedule("nightly")
    assert not queue.pause_schedule("nightly")
    assert fire(queue, named) == [0]
    answer = claim(queue, 2)
    assert (answer.due, answer.look) == ([], None)
    assert (find(queue).paused, find(queue).next_at, find(queue).overdue) == (True, None, False)
    define(queue, schedule(rhythm=Rhythm(every=2 * HOUR)))
    assert find(queue).paused, "a deploy resumed it"
    assert queue.run_schedule("nightly")
    assert check(queue) == []
    assert queue.resume_schedule("nightly")
    assert not queue.resume_schedule("nightly")
    assert fire(queue, claim(queue, 3)) == [1]
    assert -2 * HOUR / 1000 <= find(queue).late < 0
    assert claim(queue, 4).due == []
    assert check(queue) == []


def test_a_removed_schedule_is_gone_and_its_jobs_stay(queue: Queue, client: Redis) -> None:
    tell(queue, schedule())
    make_due(queue, 100)
    named = claim(queue, slots=0)
    queue.run_schedule("nightly")
    assert queue.remove_schedule("nightly")
    assert not queue.remove_schedule("nightly")
    assert fire(queue, named) == [0]
    assert (queue.schedules(), queue.schedule("nightly"), queue.stats().active) == ([], None, 1)
    assert not queue.pause_schedule("nightly")
    assert not queue.resume_schedule("nightly")
    assert check(queue) == []


def test_the_check_names_a_schedule_without_definition_and_a_wrong_time(
    queue: Queue, client: Redis
) -> None:
    tell(queue, schedule())
    client.delete("jobs:email:schedule:nightly")
    client.hset("jobs:email:meta", "schedules_at", 5)
    assert [sentence.partition(" ")[0] for sentence in check(queue)] == ["Schedule", "meta"]


def test_when_redis_is_full_what_is_due_is_pushed_and_drains(queue: Queue, client: Redis) -> None:
    tell(queue, schedule())
    make_due(queue, 100)
    answer = claim(queue)
    client.config_set("maxmemory", 1)
    try:
        assert fire(queue, answer) == [1]
        assert [job.handler for job in claim(queue, 2).jobs] == ["shop.report"]
    finally:
        client.config_set("maxmemory", 0)
