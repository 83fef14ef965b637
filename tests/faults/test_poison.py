"""Poison: it ends among the failed with its reason; the good jobs behind it run at once."""

import pytest

from tests.conftest import wait_until
from tests.faults.site import Site

ROOT = "jobs:default"
AT_ONCE = 1.5  # seconds; a worker that dies is started again in this time
LIMIT_AND_GRACE = 0.3 + 5 + AT_ONCE  # until a run that holds the GIL is killed

LOST, TIMEOUT = "django_jobs.exceptions.WorkerLost", "django_jobs.exceptions.JobTimeout"
POISONS = {
    "base_exception": ("tests.faults.jobs.Doom", "doomed", AT_ONCE),
    "sys_exit": ("SystemExit", "3", AT_ONCE),
    "os_exit": (LOST, "exit status 3", AT_ONCE),
    "segfault": (LOST, "SIGSEGV", AT_ONCE),
    "endless": (TIMEOUT, "ran longer than its timeout", AT_ONCE),
    "endless_in_c": (TIMEOUT, "killed", AT_ONCE),
    "endless_with_gil": (TIMEOUT, "killed", LIMIT_AND_GRACE),
}


def push_six(site: Site, seconds: float) -> list[str]:
    """Push six good jobs, and see them run in time."""
    good = site.push("test.quick", times=6)
    site.wait_ran(good, seconds)
    return good


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.soak) if n == "endless_in_c" else n for n in POISONS]
)
def test_a_poisonous_handler_fails_with_its_reason_and_delays_nobody(site: Site, name: str) -> None:
    exception, message, seconds = POISONS[name]
    tree = site.ready()
    (poison,) = site.push(f"fault.{name}", max_attempts=2 if seconds == AT_ONCE else 1)
    good = push_six(site, seconds)
    wait_until(lambda: poison in site.failed(), 15)
    record = site.failed()[poison]
    assert record.exception == exception
    assert message in record.errors[-1].message
    assert record.attempts == record.max_attempts
    site.account(again=good if exception == LOST else ())
    assert tree.poll() is None


def test_garbage_in_the_list_ends_among_the_failed_and_delays_nobody(site: Site) -> None:
    redis, tree = site.server.client, site.ready()
    no_hash, no_job = "0" * 32, "1" * 32
    redis.set(f"{ROOT}:job:{no_job}", "a string")
    redis.lpush(f"{ROOT}:active", b"\xff\xfe\0", b"", b"no id", b"x" * 10_000, no_hash, no_job)
    push_six(site, 1)
    wait_until(lambda: len(site.failed()) == 6)
    assert {record.exception for record in site.failed().values()} == {"Garbage"}
    assert redis.get(f"{ROOT}:job:{no_job}") == b"a string"
    site.account()
    assert tree.poll() is None


def test_a_payload_that_is_not_json_fails_and_delays_nobody(site: Site) -> None:
    tree = site.ready()
    site.queue.pause()
    (poison,) = site.push("test.quick")
    site.server.client.hset(f"{ROOT}:job:{poison}", "payload", b"\xff{")
    site.queue.resume()
    push_six(site, 1)
    wait_until(lambda: poison in site.failed())
    assert site.failed()[poison].exception == "django_jobs.exceptions.PayloadError"
    assert site.failed()[poison].attempts == 1
    site.account()
    assert tree.poll() is None


def test_a_run_that_hears_nothing_is_stopped_with_its_process(site: Site) -> None:
    tree = site.ready()
    (deaf,) = site.push("fault.hold_gil", {"seconds": 120})
    site.wait_began([deaf])
    assert site.queue.stop(deaf)
    wait_until(lambda: deaf in site.failed(), 20)
    record = site.failed()[deaf]
    assert (record.exception, record.attempts) == ("django_jobs.exceptions.JobStopped", 1)
    push_six(site, AT_ONCE)
    site.account()
    assert tree.poll() is None


@pytest.mark.soak
def test_who_always_ran_beside_the_poison_does_not_fail(site: Site) -> None:
    site.ready("--concurrency", "4")
    (poison,), innocent = site.push("fault.crowded"), site.nap(0.5, 3)
    site.wait_ran(innocent, 120)
    wait_until(lambda: poison in site.failed(), 120)
    site.account()
