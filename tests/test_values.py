"""Small things without Redis: pauses, failures, names, options, records."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Disconnected

from django_jobs import backoff, grave, handlers, keys
from django_jobs.exceptions import (
    DuplicateHandler,
    Fail,
    OptionError,
    PayloadError,
    Retry,
    Snooze,
    UnknownHandler,
)
from django_jobs.failure import ERROR_BYTES, TRACEBACK_BYTES, Failure, cut
from django_jobs.handlers import Handler, all_handlers, get_handler, handler
from django_jobs.job import Claimed, Job
from django_jobs.line import Line
from django_jobs.outcome import Policy, decide
from django_jobs.queue import Queue
from django_jobs.record import JobRecord
from django_jobs.scripts import Call
from tests.testapp.jobs import hopeless

ERROR = ValueError("no")


@pytest.mark.parametrize(
    "policy, attempt, seconds",
    [
        (3, 1, 3),
        (timedelta(minutes=1), 9, 60),
        ([1, 5, 60], 2, 5),
        ([1, 5, 60], 7, 60),
        (lambda attempt, error: attempt * 2, 4, 8),
        (lambda attempt, error: timedelta(seconds=attempt), 4, 4),
        (lambda attempt, error: -1, 1, 0),
    ],
)
def test_a_backoff_is_a_number_a_list_or_a_function(
    policy: Any, attempt: int, seconds: float
) -> None:
    assert backoff.problem(policy) == ""
    assert backoff.delay(policy, attempt, ERROR) == seconds


def test_the_default_backoff_grows_up_to_an_hour() -> None:
    for attempt, most in ((1, 5), (2, 10), (5, 80), (60, 3600)):
        found = [backoff.delay(None, attempt, ERROR) for _ in range(300)]
        assert 0 <= min(found) < most / 2 < max(found) <= most


@pytest.mark.parametrize("policy", [[], -1, True, "soon", [1, "x"], float("nan")])
def test_a_bad_backoff_is_named(policy: Any) -> None:
    with pytest.raises(OptionError, match=r"Handler 'x': backoff (is|has)"):
        handler("x", backoff=policy)


@pytest.mark.parametrize(
    "options",
    [{"name": ""}, {"name": "a b"}, {"queue": "queues"}, {"max_attempts": 0}, {"timeout": -1}],
)
def test_a_bad_handler_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        handler(**{"name": "x", **options})
    assert "x" not in all_handlers()


def test_a_name_belongs_to_one_function() -> None:
    def other(job: Job) -> None:
        """Another function."""

    with pytest.raises(DuplicateHandler, match="test.hopeless"):
        handler("test.hopeless")(other)
    assert (
        handler("test.hopeless", backoff=0)(hopeless.function) is not hopeless
    )  # a reload replaces
    assert "test.hopeless" in repr(all_handlers()["test.hopeless"])
    with pytest.raises(Fail):
        hopeless(Job("1", "default", "test.hopeless", None))  # the plain function


@pytest.fixture
def former() -> Iterator[Handler]:
    """A handler that was called otherwise before; nothing of it is left."""
    yield handler("test.now", aliases=["test.before", "test.first"])(lambda job: None)
    for registry in (handlers._registry, handlers._by_alias):
        for name in [name for name, one in registry.items() if one.name == "test.now"]:
            del registry[name]


def test_an_alias_leads_to_its_handler(former: Handler) -> None:
    assert get_handler("test.before") is get_handler("test.first") is get_handler("test.now")
    assert [name for name in all_handlers() if all_handlers()[name] is former] == ["test.now"]


def test_a_reload_takes_the_aliases_that_are_said_no_more(former: Handler) -> None:
    again = handler("test.now", aliases=["test.first"])(former.function)
    assert get_handler("test.first") is again
    with pytest.raises(UnknownHandler, match=r"test\.before"):
        get_handler("test.before")


@pytest.mark.parametrize(
    "name, aliases",
    [
        ("test.before", ()),  # it is an alias of another
        ("test.third", ("test.first",)),
        ("test.third", ("test.hopeless",)),  # it is the name of another
    ],
)
def test_an_alias_belongs_to_one_function(
    former: Handler, name: str, aliases: tuple[str, ...]
) -> None:
    with pytest.raises(DuplicateHandler, match=f"handler '{(name, *aliases)[-1]}'"):
        handler(name, aliases=aliases)(lambda job: None)
    assert "test.third" not in all_handlers()
    assert get_handler("test.first") is former


@pytest.mark.parametrize("aliases", ["old", 5, ["a b"], [None], ["test.x"], ["test.y", "test.y"]])
def test_bad_aliases_are_refused(aliases: Any) -> None:
    with pytest.raises(OptionError):
        handler("test.x", aliases=aliases)


class Mute(Exception):
    """An exception whose text raises."""

    def __str__(self) -> str:
        raise KeyError


def test_a_failure_fits_whatever_it_is_made_of() -> None:
    assert "KeyError" in Failure.of(Mute(), "w").message
    long = Failure.of(ValueError('"\\' * 5000 + "é\ud800"), "w")
    assert len(long.error.encode()) <= ERROR_BYTES
    assert len(long.traceback.encode()) <= TRACEBACK_BYTES
    assert str(Failure("A", "b\nc", "w")) == "A: b c"
    assert str(Failure("A", "", "w")) == "A"
    assert cut("é" * 10, 10) == "ééé…"


def claimed(attempt: int = 1) -> Claimed:
    number = str(attempt).encode()
    more = [b"500", b"7", b"0", b"4", None, b"{}"]
    return Claimed("q", [1, b"test.broken", b"{}", b"x", b"1", number, None, b"id", *more], 9)


def test_what_a_claim_answers_is_read() -> None:
    read = claimed(2)
    assert (read.id, read.token, read.attempt, read.max_attempts) == ("id", 1, 2, 5)
    assert (read.timeout, read.priority, read.unknown_ms, read.enqueued_ms) == (0.5, 7, 9, 9)
    assert read.waited_ms == 5
    assert read.job().attempts == 1


@pytest.mark.parametrize(
    "error, attempt, kind, delay",
    [
        (None, 1, "succeeded", 0),
        (Fail("no"), 1, "failed", 0),
        (ERROR, 5, "failed", 0),
        (ERROR, 1, "retry", 3),
        (Retry(after=timedelta(minutes=2)), 1, "retry", 120),
        (Retry("again"), 1, "retry", 3),
        (Snooze(after=60), 1, "snoozed", 60),
        (Snooze(after=timedelta(hours=2)), 5, "snoozed", 7200),
    ],
)
def test_an_outcome_is_decided(error: Any, attempt: int, kind: str, delay: float) -> None:
    plain = handler("test.plain")(lambda job: None)
    outcome = decide(error, claimed(attempt), plain, Policy(backoff=3))
    assert (outcome.kind, outcome.delay) == (kind, delay)


@pytest.mark.parametrize(
    "options, error, kind",
    [
        ({"retry_on": OSError}, TimeoutError(), "retry"),
        ({"retry_on": OSError}, ERROR, "failed"),
        ({"retry_on": (KeyError, ValueError)}, ERROR, "retry"),
        ({"retry_on": ()}, ERROR, "failed"),
        ({"retry_on": OSError}, Retry("again"), "retry"),
        ({"fail_on": ValueError}, ERROR, "failed"),
        ({"fail_on": ValueError}, OSError(), "retry"),
        ({"retry_on": OSError, "fail_on": TimeoutError}, TimeoutError(), "failed"),
        ({"retry_on": OSError, "fail_on": TimeoutError}, ConnectionError(), "retry"),
        ({"retry_for": 4}, ERROR, "retry"),
        ({"retry_for": timedelta(seconds=2)}, ERROR, "failed"),
        ({"retry_for": 0}, Snooze(after=9), "snoozed"),
    ],
)
def test_what_is_tried_again_is_the_handlers_choice(options: Any, error: Any, kind: str) -> None:
    choosy = handler("test.choosy", **options)(lambda job: None)
    assert decide(error, claimed(), choosy, Policy(backoff=3)).kind == kind


@pytest.mark.parametrize(
    "options, said",
    [
        ({"retry_on": "OSError"}, "retry_on is 'OSError', not an exception class"),
        ({"fail_on": (OSError, 5)}, "fail_on is .*, not an exception class"),
        ({"retry_for": [1, 2]}, "retry_for is .*, not a number of seconds"),
        ({"retry_for": -1}, "retry_for is -1, not a number of seconds"),
        ({"backof": 1}, "there is no option backof. The options are queue, max_attempts,"),
    ],
)
def test_a_bad_option_of_a_handler_names_it(options: Any, said: str) -> None:
    with pytest.raises(OptionError, match=f"Handler 'x': {said}"):
        handler("x", **options)


def test_a_backoff_that_raises_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    wrong = handler("test.wrong", backoff=lambda attempt, error: 1 / 0)(lambda job: None)
    assert 0 <= decide(ERROR, claimed(), wrong, Policy()).delay <= 5
    assert "test.wrong raised" in caplog.text


def test_a_job_is_unmarshalled_or_says_why_not() -> None:
    def point(x: int, y: int) -> tuple[int, int]:
        return x, y

    assert Job("1", "q", "h", {"x": 1, "y": 2}).unmarshal(point) == (1, 2)
    for payload in ([1, 2], {"x": 1}):
        with pytest.raises(PayloadError, match="Job 1"):
            Job("1", "q", "h", payload).unmarshal(point)
    Job("1", "q", "h", None).progress(0.5)  # nobody listens


def test_a_record_survives_nonsense() -> None:
    raw = {
        b"attempts": b"many",
        b"enqueued_at": b"9" * 19,
        b"error:1": b"{",
        b"error:x": b"",
        b"state": b"\xff",
    }
    record = JobRecord.from_hash("1", "q", raw, worker="", due=None, look=lambda id: None)
    assert (record.attempts, record.enqueued_at, record.errors) == (0, None, ())


def test_keys_of_a_cluster_share_a_slot() -> None:
    assert keys.job(keys.root("jobs", "email", cluster=True), "1") == "jobs:{email}:job:1"


@pytest.mark.parametrize(
    "status, said", [(-9, "killed by SIGKILL"), (-99, "killed by signal 99"), (3, "exit status 3")]
)
def test_how_a_process_ended_is_said(status: int, said: str) -> None:
    assert grave.cause(status) == said


def test_a_pull_whose_claim_lost_its_answer_gives_the_job_back(
    client: Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Callable[..., list[Any]] = Line.run

    def done_but_unheard(line: Line, calls: list[Call]) -> list[Any]:
        run(line, calls)
        if calls[-1].script.name == "claim":
            raise Disconnected("the answer was lost")
        return run(line, calls)

    id = queue.push()
    with monkeypatch.context() as patched:
        patched.setattr(Line, "run", done_but_unheard)
        with pytest.raises(Disconnected):
            queue.pull(print)
    assert queue.stats().processing == 0
    assert queue.pull(lambda job: (job.id, job.attempt)) == (id, 1)
