"""`manage.py jobs schedules`: what it shows, changes and refuses."""

import pytest
from django.core.management import CommandError
from redis import Redis

from django_jobs import get_queue
from django_jobs.queue import Queue
from django_jobs.rhythm import Rhythm
from tests.test_jobs import jobs, parsed
from tests.test_schedules import HOUR, make_due, schedule, tell

CRON = Rhythm("0 3 * * *", timezone="Europe/Berlin")


@pytest.fixture
def email(client: Redis) -> Queue:
    """A queue that the project knows, with two schedules."""
    queue = get_queue("email")
    queue.push()
    tell(queue, schedule(rhythm=CRON), schedule("often", rhythm=Rhythm(every=5_400_000)))
    return queue


def test_the_list_says_when_and_how_it_went(email: Queue) -> None:
    email.run_schedule("often")
    email.pause_schedule("nightly")
    head, nightly, often = jobs("schedules").splitlines()
    assert head.split() == ["schedule", "when", "next", "last", "outcome", "handler", "queue"]
    assert "0 3 * * * (Europe/Berlin)" in nightly
    assert "paused" in nightly
    assert "every 1h 30m" in often
    assert "active" in often
    assert " in " in often


def test_what_is_overdue_says_so(email: Queue) -> None:
    make_due(email, 3 * HOUR, "often")
    assert "overdue 3h" in jobs("schedules")
    found = {one["name"]: one for one in parsed("schedules")}
    assert (found["often"]["overdue"], found["nightly"]["overdue"]) == (True, False)


def test_json_has_all_of_it(email: Queue) -> None:
    id = email.run_schedule("nightly")
    nightly, _ = parsed("schedules")
    (past,) = nightly.pop("runs")
    assert nightly.pop("next_at").endswith("+00:00")
    assert (past["state"], past["job"]) == ("active", f"email:{id}")
    assert nightly == {
        "name": "nightly",
        "queue": "email",
        "handler": "shop.report",
        "when": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "missed": "once",
        "paused": False,
        "overdue": False,
    }


def test_without_schedules_it_says_how_to_declare_one(client: Redis) -> None:
    assert "@handler(" in jobs("schedules")
    assert parsed("schedules") == []


def test_run_pause_and_resume(email: Queue) -> None:
    assert jobs("schedules", "run", "nightly", "email:often").splitlines() == [
        "email:nightly pushed a job.",
        "email:often pushed a job.",
    ]
    assert email.stats().active == 3
    assert "email:nightly is paused" in jobs("schedules", "pause", "nightly")
    assert "email:nightly was paused already" in jobs("schedules", "pause", "nightly")
    assert parsed("schedules", "resume", "nightly") == {"resume": {"email:nightly": True}}
    assert "was not paused" in jobs("schedules", "resume", "nightly")


def test_a_name_that_says_too_little_or_too_much_is_refused(email: Queue) -> None:
    other = get_queue("other")
    other.push()
    tell(other, schedule("often"))
    with pytest.raises(CommandError, match="Say which: email:often, other:often"):
        jobs("schedules", "run", "often")
    assert "pushed a job" in jobs("schedules", "run", "often", "--queue", "other")
    with pytest.raises(CommandError, match="Did you mean 'nightly'"):
        jobs("schedules", "run", "nightli")
    with pytest.raises(CommandError, match="Say which to pause"):
        jobs("schedules", "pause")
    assert email.stats().active == 1


def test_names_without_a_verb_are_refused(email: Queue) -> None:
    with pytest.raises(CommandError, match="Say run, pause or resume"):
        jobs("schedules", "list", "nightly")
