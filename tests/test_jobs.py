"""`manage.py jobs`: what each word shows, changes and refuses."""

import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from redis import Redis

from django_jobs import get_queue, push_batch, push_job, push_jobs
from django_jobs.failure import Failure
from django_jobs.invariants import check
from django_jobs.line import run, run_many
from django_jobs.operators import health
from django_jobs.operators.wording import cells, period, span, table
from django_jobs.operators.words import WORDS
from django_jobs.queue import Queue
from django_jobs.scripts import Call, get_script
from django_jobs.version import __version__
from tests.commands import ROOT, Processes, end_of, read_until
from tests.conftest import Runjobs, free_port, start_redis, wait_until
from tests.test_schedules import define, schedule
from tests.test_transitions import claim, register

STOPPED = Failure("Stopped", "by hand", "operator")
SECRET = "hush-hush"


@pytest.fixture
def email(client: Redis) -> Queue:
    """A queue that the project knows, because somebody pushes to it."""
    return get_queue("email")


def jobs(*words: str) -> str:
    """Run the command; its answer is returned, its notes are printed."""
    return both(*words)[0]


def both(*words: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("jobs", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def parsed(*words: str) -> Any:
    return json.loads(jobs(*words, "--json"))


def fail(
    queue: Queue,
    handler: str = "shop.send",
    error: BaseException | None = None,
    payload: Any = None,
) -> str:
    """Push a job and let it fail for good."""
    error = error or TimeoutError("no answer")
    id = queue.push(payload, handler, max_attempts=1)

    def work(job: object) -> None:
        raise error

    with pytest.raises(type(error)):
        queue.pull(work)
    return id


def fail_many(queue: Queue, number: int) -> None:
    """Let many jobs fail in little time."""
    ids = push_jobs("shop.many", [None] * number, queue=queue.name, delay=60, check=False)
    why = (STOPPED.exception, STOPPED.error)
    run_many(queue.client, [Call(get_script("fail"), queue.keys, (id, *why)) for id in ids])


def states(queue: Queue, *ids: str) -> list[str]:
    return [record.state if (record := queue.job(id)) else "gone" for id in ids]


class Screen:
    """The command on a terminal of 80 columns."""

    def __init__(self, *words: str, only_err: bool = False) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "django", "jobs", *words],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "COLUMNS": "80"},
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.said = ""
        self.limit = threading.Timer(60, self.process.kill)
        self.limit.start()

    def read_until(self, text: str) -> None:
        while text not in self.said:
            self.said += self._read() or pytest.fail(f"It ended without {text!r}:\n{self.said}")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> tuple[int, str]:
        while more := self._read():
            self.said += more
        os.close(self.master)
        self.limit.cancel()
        return self.process.wait(30), self.said.replace("\r\n", "\n")

    def _read(self) -> str:
        try:
            return os.read(self.master, 65536).decode("utf-8", "replace")
        except OSError:  # Linux says so when nobody has the other end any more
            return ""


# list


def test_list_shows_failures_newest_first_with_what_went_wrong(email: Queue) -> None:
    first = fail(email, error=KeyError("order"))
    email.client.zincrby(f"{email.root}:failed", -5, first)  # not in the same millisecond
    second = fail(get_queue(), "shop.print", TimeoutError(f"no answer, token={SECRET}"))
    head, *lines = jobs("list").splitlines()
    assert head.split() == ["job", "failed", "handler", "error"]
    assert [line.split()[0] for line in lines] == [f"default:{second}", f"email:{first}"]
    assert re.fullmatch(r"\ds", lines[0].split()[1])
    assert lines[0].endswith("  shop.print  TimeoutError: no answer, token=********")
    assert SECRET not in "".join(lines)


def test_list_as_json_has_a_row_per_job(email: Queue) -> None:
    id = fail(email, error=socket.gaierror(f"password={SECRET}"))
    (row,) = parsed("list")
    at = row.pop("failed_at")
    assert at.endswith("+00:00")
    assert row == {
        "id": id,
        "queue": "email",
        "handler": "shop.send",
        "state": "failed",
        "exception": "socket.gaierror",
        "message": "password=********",
        "attempts": 1,
        "max_attempts": 1,
        "worker": "",
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], {"a", "b", "c", "d"}),
        (["--queue", "email"], {"a", "b", "c"}),
        (["--queue", "email", "--queue", "default"], {"a", "b", "c", "d"}),
        (["--handler", "shop.send"], {"a", "c", "d"}),
        (["--handler", "shop"], set()),
        (["--error", "gaierror"], {"c"}),
        (["--error", "socket.gaierror"], {"c"}),
        (["--error", "error"], set()),
        (["--error", "TimeoutError", "--queue", "email"], {"a", "b"}),
        (["--error", "TimeoutError", "--handler", "shop.print"], {"b"}),
        (["--since", "1h"], {"b", "c", "d"}),
        (["--older-than", "1h"], {"a"}),
        (["--since", "3h", "--older-than", "1h", "--handler", "shop.send"], {"a"}),
    ],
)
def test_filters(email: Queue, client: Redis, words: list[str], found: set[str]) -> None:
    ids = {
        fail(email): "a",
        fail(email, "shop.print"): "b",
        fail(email, error=socket.gaierror("no such host")): "c",
        fail(get_queue()): "d",
    }
    old = next(iter(ids))
    for key in ("jobs:email:failed", "jobs:email:group:shop.send TimeoutError"):
        assert client.zincrby(key, -2 * 3_600_000, old) > 0
    assert {ids[row["id"]] for row in parsed("list", *words)} == found
    assert parsed("retry", *words, *([] if words else ["--all"]), "--dry-run") == {
        "found": len(found)
    }
    assert parsed("discard", *words, *([] if words else ["--all"]), "--yes") == {
        "discarded": len(found),
        "left_alone": 0,
    }
    assert {name for id, name in ids.items() if states(email, id) != ["gone"]} - {"d"} == {
        "a",
        "b",
        "c",
    } - found


def test_list_says_when_there_is_more_and_pages_to_the_limit(email: Queue) -> None:
    fail_many(email, 1203)
    for words in ([], ["--handler", "shop.many"]):
        out, err = both("list", "--limit", "1100", *words)
        assert len(set(out.splitlines())) == 1101
        assert err == "There are more: --limit 11000 shows up to that many.\n"
    out, err = both("list", "--limit", "1203")
    assert (len(out.splitlines()), err) == (1204, "")


def test_list_of_jobs_that_wait_or_run(email: Queue) -> None:
    later = email.push(None, "shop.later", delay=7200)
    soon = email.push(None, "shop.soon", delay=90)
    first, second = email.push(None, "shop.send"), email.push(None, "shop.print")
    scheduled = parsed("list", "--state", "scheduled")
    assert [row["id"] for row in scheduled] == [soon, later]
    assert "due_at" in scheduled[0]
    assert re.search(r"in (89|90)s", jobs("list", "--state", "scheduled"))
    assert [row["id"] for row in parsed("list", "--state", "active")] == [first, second]
    words = ("list", "--state", "active", "--handler", "shop.print", "--limit", "1")
    assert [row["id"] for row in parsed(*words)] == [second]
    running: list[Any] = []

    def look(job: object) -> None:
        running.extend(parsed("list", "--state", "processing"))
        assert f"  {running[0]['worker']}\n" in jobs("list", "--state", "processing")

    email.pull(look)
    assert [(row["id"], row["state"], bool(row["worker"])) for row in running] == [
        (first, "processing", True)
    ]
    assert parsed("list", "--state", "processing") == []


def test_what_succeeded_is_shown_as_long_as_its_result_is_kept(email: Queue) -> None:
    id = email.push([1], "shop.total")
    register(email, "w1")
    claim(email)
    result = json.dumps({"sum": 1, "token": SECRET})
    assert run(email.client, email.settle_kept("w1", [(id, 1, 600.0, result)])) == [1]
    (row,) = parsed("list", "--state", "succeeded")
    assert (row["id"], row["state"]) == (id, "succeeded")
    assert re.search(
        rf"^email:{id}  in (9|10)m +shop.total$", jobs("list", "--state", "succeeded"), re.M
    )
    assert 'Result\n  {\n    "sum": 1,\n    "token": "********"\n' in jobs("show", id)
    assert parsed("show", id)["result"] == {"sum": 1, "token": "********"}
    with pytest.raises(CommandError, match="is succeeded: only failed jobs can be retried. It is"):
        jobs("retry", id)


@pytest.mark.parametrize("option", [["--error", "X"], ["--since", "1h"], ["--older-than", "1h"]])
def test_list_refuses_filters_of_failures_for_other_states(email: Queue, option: list[str]) -> None:
    with pytest.raises(CommandError, match="choose among failed jobs, not active ones"):
        jobs("list", "--state", "active", *option)


def test_an_empty_list_says_what_it_looked_for(email: Queue) -> None:
    fail(email)
    words = ("--queue", "email", "--handler", "x", "--error", "Y", "--since", "90s")
    words += ("--older-than", "3d")
    assert jobs("list", *words) == (
        "There are no failed jobs (queue email, handler x, error Y, since 90s, older than 3d).\n"
    )
    assert parsed("list", *words) == []


def test_a_table_fits_the_terminal_and_ids_stay_whole(email: Queue) -> None:
    id = fail(email, "shop." + "send" * 40, ValueError("日本" * 100))
    status, said = Screen("list").end()
    lines = said.splitlines()
    assert status == 0
    assert all(cells(line) <= 80 for line in lines)
    assert f"email:{id}" in said
    assert lines[1].count("…") == 2
    wide = jobs("list")
    assert "send" * 40 in wide, "where there is no terminal, nothing is cut"


def test_hostile_bytes_move_no_cursor(email: Queue, client: Redis) -> None:
    id = fail(email, "\x1b[31mred\u202e", ValueError("two\nlines \x1b[2J\x00\x9b"))
    client.hset(f"jobs:email:job:{id}", "payload", b"\xff\xfe not JSON \x1b[2J")
    client.hset(f"jobs:email:job:{id}", "exception", b"\xff\x1b")
    client.zadd("jobs:email:failed", {b"\x80gone": 1, b"\x80more": 1})
    client.lpush("jobs:email:active", b"\xff\x00\x1b[31m")
    for words in (["list"], ["show", id], ["list", "--state", "active"]):
        said = jobs(*words)
        assert all(char.isprintable() or char == "\n" for char in said), said
    assert r"\x1b[31mred\u202e" in jobs("list")
    assert r"not JSON \x1b[2J" in jobs("show", id)
    assert parsed("show", id)["payload"] == "\ufffd\ufffd not JSON \x1b[2J"


def test_ids_that_are_no_text_do_not_hold_a_list_up(email: Queue, client: Redis) -> None:
    client.zadd("jobs:email:failed", {bytes([byte]): 5 for byte in range(128, 256)})
    email.push()
    assert jobs("list", "--limit", "1") == "There are no failed jobs.\n"


def test_a_stream_that_holds_ascii_only_is_enough(email: Queue, processes: Processes) -> None:
    fail(email, error=ValueError("žluťoučký 日本"))
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONIOENCODING": "ascii"}
    status, said = end_of(processes.start("-m", "django", "jobs", "list", **env))
    assert status == 0
    assert r"\u017elu\u0165ou\u010dk\xfd \u65e5\u672c" in said


def test_who_has_seen_enough_ends_it_quietly(email: Queue) -> None:
    fail_many(email, 500)
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "jobs", "list", "--limit", "500"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as err:
        assert err.read() == b""
    assert process.wait(30) == 0


# show


def test_show_tells_all_of_a_job(email: Queue, client: Redis) -> None:
    id = fail(email, payload={"to": "ann", "password": SECRET}, error=ValueError(f"token={SECRET}"))
    assert email.edit(id, {"to": "bob", "password": SECRET})
    with pytest.raises(KeyError):
        email.pull(lambda job: {}["order"])
    said = jobs("show", id)
    assert said.startswith(f"Job {id} of queue email: failed\n  handler   shop.send\n")
    for line in ("  attempts  1 of 1", "  error     KeyError", '    "to": "bob",'):
        assert f"{line}\n" in said
    assert re.search(r"^  failed    \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+ \(\ds ago\)$", said, re.M)
    assert re.search(r"^Run 1 failed .*, worker \w+$", said, re.M)
    assert re.search(r"^Run 2 failed", said, re.M)
    assert "Payload of run 1, before it was edited" in said
    assert said.count("  Traceback (most recent call last):") == 2
    assert "ValueError: token=********" in said
    assert SECRET not in said
    value = parsed("show", f"email:{id}")
    assert value["payload"] == {"to": "bob", "password": "********"}
    assert value["edited"] == [{"token": 1, "payload": {"to": "ann", "password": "********"}}]
    assert [error["exception"] for error in value["errors"]] == ["ValueError", "KeyError"]
    assert value["result"] is None
    assert SECRET not in json.dumps(value)


def test_show_of_what_runs_and_of_what_is_kept(email: Queue) -> None:
    id = email.push([1], "shop.total", priority=7, timeout=30)
    seen: list[str] = []

    def work(job: Any) -> None:
        job.progress(0.4, f"resizing, token={SECRET}")
        seen.append(jobs("show", id))
        job.progress(0.5, "half")
        seen.append(jobs("show", id))

    email.pull(work)
    assert ": processing\n" in seen[0]
    assert re.search(r"  progress  \{.*token=\*", seen[0])
    assert "  progress  50% half\n" in seen[1]
    assert re.search(r"  priority  7\n  timeout   30s\n", seen[1])
    assert re.search(r"^  worker    \w+$", seen[1], re.M)


def test_a_job_of_64_kib_is_shown_whole(email: Queue) -> None:
    text = "".join(f"{number:08}" for number in range(8192))
    id = fail(email, payload={"text": text, "list": [[]] * 10})
    assert text in jobs("show", id)
    assert parsed("show", id)["payload"] == {"text": text, "list": [[]] * 10}


@pytest.mark.parametrize("raw", [b"NaN", b"[" * 50_000, b"", b'{"a": Infinity}', b'"\\ud800"'])
def test_a_payload_that_no_program_could_read_is_text(
    email: Queue, client: Redis, raw: bytes
) -> None:
    id = fail(email)
    client.hset(f"jobs:email:job:{id}", "payload", raw)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    value = json.loads(jobs("show", id, "--json"), parse_constant=refuse)
    assert isinstance(value["payload"], str)
    assert "Payload\n" in jobs("show", id)


def test_several_jobs_are_shown_one_after_the_other(email: Queue) -> None:
    ids = [fail(email), email.push()]
    assert [json.loads(line)["id"] for line in jobs("show", *ids, "--json").splitlines()] == ids
    assert jobs("show", *ids).count("\n\nJob ") == 1


def test_an_id_is_looked_for_in_every_queue_or_in_its_own(email: Queue, client: Redis) -> None:
    id = fail(email)
    get_queue().push()
    assert parsed("show", id)["queue"] == "email"
    assert parsed("show", id, "--queue", "email")["queue"] == "email"
    with pytest.raises(CommandError, match=f"no job '{id}' in queue default"):
        jobs("show", f"default:{id}")
    with pytest.raises(CommandError, match=f"no job '{id}' in 1 queue"):
        jobs("show", id, "--queue", "default")
    with pytest.raises(CommandError, match=r"no job 'x\\x1b:y' in 2 queues. A job that succeeds"):
        jobs("show", "x\x1b:y")
    client.hset(f"jobs:default:job:{id}", "handler", "x")
    with pytest.raises(CommandError, match=f"Say which: default:{id}, email:{id}"):
        jobs("show", id)


# retry, discard


def test_jobs_are_retried_and_discarded_by_their_ids(email: Queue) -> None:
    a, b, c = (fail(email) for _ in range(3))
    assert jobs("retry", a) == "1 job retried.\n"
    assert jobs("discard", f"email:{b}", c, c) == "2 jobs discarded.\n"
    assert states(email, a, b, c) == ["active", "gone", "gone"]
    assert check(email) == []


def test_of_several_ids_the_wrong_ones_are_named_and_the_others_moved(email: Queue) -> None:
    failed, waits = fail(email), email.push()
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("jobs", "retry", waits, failed, "nobody", stdout=out)
    one, two = str(caught.value).splitlines()
    assert one == (
        f"Job {waits} of queue email is active: only failed jobs can be retried."
        " `jobs cancel` deletes it."
    )
    assert two.startswith("There is no job 'nobody' in 2 queues.")
    assert out.getvalue() == "1 job retried.\n"
    assert states(email, failed, waits) == ["active", "active"]


def test_many_are_moved_with_yes_only_where_nobody_can_be_asked(email: Queue) -> None:
    ids = [fail(email), fail(email)]
    with pytest.raises(CommandError) as caught:
        jobs("retry", "--handler", "shop.send")
    assert str(caught.value) == (
        "Retry 2 failed jobs (handler shop.send)? Nobody can be asked here."
        " Add --yes to do it, or --dry-run to count only."
    )
    said = jobs("retry", "--handler", "shop.send", "--dry-run")
    assert said == "2 failed jobs (handler shop.send) would be retried.\n"
    assert jobs("retry", ids[0], "--dry-run") == "1 job would be retried.\n"
    assert states(email, *ids) == ["failed", "failed"]
    assert both("retry", "--handler", "shop.send", "--yes") == ("2 jobs retried.\n", "")
    assert states(email, *ids) == ["active", "active"]
    assert jobs("retry", "--all", "--dry-run") == "No failed jobs would be retried.\n"
    assert parsed("retry", "--all") == {"retried": 0, "left_alone": 0}
    assert jobs("retry", "--all") == "There are no failed jobs to retry.\n"


@pytest.mark.parametrize("word", ["retry", "discard", "cancel"])
def test_nothing_is_moved_by_accident(email: Queue, word: str) -> None:
    id = fail(email)
    with pytest.raises(CommandError, match="Say which jobs: their ids, filters such as --handler"):
        jobs(word, "--yes")
    for more in (["--all"], ["--handler", "x"]):
        with pytest.raises(CommandError, match="Say ids or filters, not both"):
            jobs(word, id, *more, "--yes")
    assert states(email, id) == ["failed"]


def test_a_retry_is_spread_over_a_time(email: Queue) -> None:
    ids = [fail(email) for _ in range(4)]
    said = jobs("retry", "--queue", "email", "--spread", "20m", "--yes")
    assert said == "4 jobs retried, spread over 20m.\n"
    assert sorted(states(email, *ids)) == ["active", "scheduled", "scheduled", "scheduled"]
    due = [row["due_at"] for row in parsed("list", "--state", "scheduled")]
    assert len(set(due)) == 3
    more = [fail(get_queue()) for _ in range(2)]
    assert jobs("retry", *more, "--spread", "1h") == "2 jobs retried, spread over 1h.\n"
    assert states(get_queue(), *more) == ["active", "scheduled"]


def test_jobs_beyond_the_thousandth_group_are_mentioned(email: Queue, client: Redis) -> None:
    fail(email)
    client.hset("jobs:email:groups", "other", 3)
    out, err = both("list", "--error", "TimeoutError")
    assert len(out.splitlines()) == 2
    assert err.startswith("Warning: 3 failed jobs came when there were 1,000 pairs of handler and")
    assert both("list")[1] == ""


def test_on_a_terminal_it_asks_and_what_moves_meanwhile_is_left_alone(email: Queue) -> None:
    ids = [fail(email) for _ in range(3)]
    screen = Screen("retry", "--error", "TimeoutError")
    screen.read_until("Retry 3 failed jobs (error TimeoutError)? [y/N] ")
    assert email.discard(ids[1])
    screen.type("y\n")
    status, said = screen.end()
    assert status == 0
    assert said.endswith("\x1b[K2 jobs retried, 1 had already moved on and was left alone.\n")
    assert states(email, *ids) == ["active", "gone", "active"]


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_any_other_answer_changes_nothing(email: Queue, answer: str) -> None:
    id = fail(email)
    screen = Screen("discard", "--all")
    screen.read_until("Discard 1 failed job? [y/N] ")
    screen.type(answer)
    status, said = screen.end()
    assert status == 1
    assert "Nothing was changed." in said
    assert states(email, id) == ["failed"]


def test_ctrl_c_at_the_question_changes_nothing(email: Queue) -> None:
    id = fail(email)
    screen = Screen("discard", "--all")
    screen.read_until("[y/N] ")
    screen.process.send_signal(signal.SIGINT)
    status, said = screen.end()
    assert (status, said.count("CommandError: You stopped it.")) == (130, 1)
    assert states(email, id) == ["failed"]


def test_many_jobs_show_a_bar_on_a_terminal(email: Queue) -> None:
    fail_many(email, 2500)
    status, said = Screen("discard", "--all", "--yes").end()
    assert status == 0
    assert re.search(r"\r\x1b\[K\[#{10}\.{14}\]  40%  1,000 of 2,500 jobs discarded", said)
    assert re.search(r"\r\x1b\[K\[#{24}\] 100%  2,500 of 2,500 jobs discarded\r\x1b\[K2,500", said)
    assert said.endswith("2,500 jobs discarded.\n")
    assert email.stats().failed == 0


@contextmanager
def discarding(number: int, processes: Processes) -> Iterator[Any]:
    """Discard many jobs; when the first of them are gone, go on here."""
    fail_many(get_queue("email"), number)
    words = ("-m", "django", "jobs", "discard", "--all", "--yes")
    process = processes.start(*words, DJANGO_SETTINGS_MODULE="tests.settings")
    read_until(process, f"of {number:,} jobs discarded")
    yield process


def test_elsewhere_it_says_a_line_now_and_then_and_can_be_stopped(
    email: Queue, processes: Processes
) -> None:
    with discarding(20_000, processes) as process:
        process.send_signal(signal.SIGINT)
        status, said = end_of(process)
    assert status == 130
    told = re.fullmatch(
        r"CommandError: At least (\d+),000 of 20,000 jobs discarded, then you stopped it\."
        r" The same command goes on with the others\.",
        said.splitlines()[-1],
    )
    assert told is not None
    out, err = both("discard", "--all", "--yes", "--json")
    done = 20_000 - json.loads(out)["discarded"]  # what was sent when it was stopped counts, too
    assert 0 <= done - 1000 * int(told[1]) <= 1000
    assert all(re.fullmatch(r"[\d,]+ of [\d,]+ jobs discarded", line) for line in err.splitlines())
    assert 1 <= len(err.splitlines()) <= 9
    assert check(email) == []


# cancel


def test_cancel_takes_what_waits_by_its_queue_and_handler(email: Queue) -> None:
    default, failed = get_queue(), fail(email, "shop.a")
    active, urgent = email.push(None, "shop.a"), email.push(None, "shop.a", priority=5)
    later, other = email.push(None, "shop.a", delay=60), email.push(None, "shop.b")
    elsewhere = default.push(None, "shop.a")
    everything = ("cancel", "--handler", "shop.a")
    assert jobs(*everything, "--dry-run") == (
        "4 scheduled or active jobs (handler shop.a) would be cancelled.\n"
    )
    assert parsed(*everything, "--state", "active", "--dry-run") == {"found": 3}
    assert parsed(*everything, "--state", "scheduled", "--yes") == {"cancelled": 1, "left_alone": 0}
    assert jobs(*everything, "--queue", "email", "--yes") == "2 jobs cancelled.\n"
    assert states(email, active, urgent, later, other, failed) == [
        "gone",
        "gone",
        "gone",
        "active",
        "failed",
    ]
    assert states(default, elsewhere) == ["active"]
    assert parsed("cancel", "--queue", "email", "--dry-run") == {"found": 1}
    with pytest.raises(CommandError, match="Cancel 1 scheduled or active job .handler shop.a"):
        jobs(*everything)
    assert jobs("cancel", other) == "1 job cancelled.\n"
    assert jobs("cancel", other) == (
        "No jobs cancelled, 1 had already moved on and was left alone.\n"
    )
    with pytest.raises(CommandError, match=f"Job {other} of queue email was cancelled, or has"):
        jobs("show", other)
    with pytest.raises(CommandError, match=r"only scheduled or active jobs .* `jobs discard`"):
        jobs("cancel", failed)
    assert [check(email), check(default)] == [[], []]


@pytest.mark.parametrize(("number", "lines"), [(600, 0), (10_000, 9)])
def test_a_line_now_and_then_is_worth_it_for_many_jobs_only(
    email: Queue, number: int, lines: int
) -> None:
    push_jobs("shop.a", [None] * number, queue="email", check=False)
    out, err = both("cancel", "--all", "--yes")
    assert out == f"{number:,} jobs cancelled.\n"
    said = err.splitlines()
    looked = [line for line in said if re.fullmatch(r"\d,\d\d\d of 10,000 jobs looked at", line)]
    assert len(looked) <= lines
    expected = [f"{n * 1000:,} of 10,000 jobs cancelled" for n in range(1, lines + 1)]
    assert said == looked + expected


def test_a_list_that_moves_is_cancelled_to_its_end(email: Queue) -> None:
    """What waited at the beginning is cancelled or was claimed, whatever is pushed meanwhile."""
    ids = [email.push(None, "shop.bad" if n % 2 else "shop.good") for n in range(6000)]
    over, ran = threading.Event(), set[str]()

    def move() -> None:
        while not over.is_set():
            email.push(None, "shop.good")
            email.pull(lambda job: ran.add(job.id))

    mover = threading.Thread(target=move)
    mover.start()
    try:
        found = parsed("cancel", "--handler", "shop.bad", "--yes")
    finally:
        over.set()
        mover.join()
    left = [id for id in ids[1::2] if id not in ran and states(email, id) != ["gone"]]
    assert left == []
    assert 0 < found["cancelled"] <= 3000
    assert all(states(email, id) == ["active"] for id in ids[::2] if id not in ran)
    assert check(email) == []


# Queues and workers.


def test_queues_are_paused_and_go_on(email: Queue) -> None:
    email.push()
    get_queue().push()
    paused = "email is paused: workers claim nothing more from it, what runs goes on.\n"
    assert jobs("pause", "email") == paused
    assert jobs("pause", "email") == "email was paused already.\n"
    assert [email.stats().paused, get_queue().stats().paused] == [True, False]
    assert jobs("resume", "--all") == "default was not paused.\nemail goes on.\n"
    assert parsed("pause", "--all") == {"paused": ["default", "email"]}
    assert parsed("resume", "email") == {"resumed": ["email"]}
    for words in ([], ["email", "--all"]):
        with pytest.raises(CommandError, match="Say which queues by their names, or --all"):
            jobs("pause", *words)


def test_a_queue_that_nobody_knows_is_refused_with_the_nearest(email: Queue) -> None:
    email.push()
    for words in (["stats"], ["list"], ["workers"], ["check"], ["cancel"], ["retry", "--yes"]):
        with pytest.raises(CommandError, match=r"No queue is called 'emial'. Did you mean 'email'"):
            jobs(*words, "--queue", "emial")
    with pytest.raises(CommandError, match=r"No queue is called '\\x1b'. `jobs stats` lists them."):
        jobs("pause", "\x1b")


def test_workers_are_shown_told_to_go_quiet_and_to_stop(client: Redis, runjobs: Runjobs) -> None:
    assert jobs("workers") == "No worker runs. Start some with `manage.py runjobs`.\n"
    assert parsed("workers") == []
    assert jobs("stop", "--all") == "No worker runs.\n"
    words = ("--processes", "2", "--concurrency", "3", "--queues", "default")
    tree = runjobs(*words, DJANGO_SETTINGS_MODULE="tests.settings_limited")
    wait_until(lambda: len(parsed("workers")) == 2, 30)
    first, second = parsed("workers")
    host = socket.gethostname()
    assert first["queues"] == ["default"]
    assert (first["host"], first["supervisor"], first["state"]) == (host, tree.pid, "running")
    assert (first["version"], first["release"]) == (__version__, "7f3a")
    head, line, _ = jobs("workers").splitlines()
    assert head.split()[:4] == ["worker", "state", "busy", "memory"]
    assert line.startswith(f"{host}:{first['pid']}  running  0 of 3  ")
    assert line.endswith(first["id"])
    with pytest.raises(CommandError, match=r"No worker that is alive is called 'x:1'. `jobs work"):
        jobs("quiet", f"{host}:{first['pid']}", "x:1")
    with pytest.raises(CommandError, match="Say which workers, as `jobs workers` shows them"):
        jobs("stop")
    assert jobs("quiet", f"{host}:{first['pid']}") == (
        f"The supervisor {host}:{tree.pid} is told to go quiet: 2 workers, no jobs under way.\n"
        "Workers claim nothing more from their next beat on; what runs goes on.\n"
    )
    wait_until(lambda: {row["state"] for row in parsed("workers")} == {"quiet"}, 30)
    said = parsed("stop", second["id"])
    assert said == {"told": "stop", "workers": [first["id"], second["id"]]}
    assert tree.wait(30) == 0
    assert parsed("workers") == []


def test_a_supervisor_is_named_by_its_pid_and_all_by_all(client: Redis, runjobs: Runjobs) -> None:
    trees = [runjobs("--processes", "1"), runjobs("--processes", "1")]
    wait_until(lambda: len(parsed("workers")) == 2, 30)
    jobs("stop", f"{socket.gethostname()}:{trees[0].pid}")
    assert trees[0].wait(30) == 0
    wait_until(lambda: len(parsed("workers")) == 1, 30)
    assert f":{trees[1].pid} is told to stop: 1 worker, no jobs under way." in jobs("stop", "--all")
    assert trees[1].wait(30) == 0


def test_a_worker_that_is_silent_is_shown_as_lost_and_told_nothing(
    email: Queue, client: Redis
) -> None:
    email.push()
    client.zadd("jobs:email:workers", {"w1": 1_000_000})
    said = {"host": "web\x1b", "pid": 7, "supervisor": 3, "queues": ["email", "../../x"]}
    client.hset("jobs:email:about", "w1", json.dumps(said))
    assert re.search(r"^web\\x1b:7  lost \d+d ago  0 of 0 ", jobs("workers"), re.M)
    with pytest.raises(CommandError, match="No worker that is alive"):
        jobs("stop", "w1")


# stats, check


def test_stats_are_shown_again_and_again_until_ctrl_c(email: Queue, processes: Processes) -> None:
    email.push()
    words = ("-m", "django", "jobs", "stats", "--watch", "1s", "--json")
    process = processes.start(*words, DJANGO_SETTINGS_MODULE="tests.settings")
    assert json.loads(read_until(process, "}}"))["email"]["active"] == 1
    email.push()
    assert json.loads(read_until(process, '"active": 2'))["email"]["active"] == 2
    process.send_signal(signal.SIGINT)
    status, said = end_of(process)
    assert status == 0
    assert [json.loads(line) for line in said.splitlines()] == []


def test_on_a_terminal_stats_begin_a_new_screen_each_time(email: Queue) -> None:
    email.push()
    screen = Screen("stats", "--watch", "1s")
    screen.read_until("\x1b[H\x1b[2Jqueue  ")
    os.kill(screen.process.pid, signal.SIGINT)
    status, said = screen.end()
    assert status == 0
    assert said.startswith("queue  ")


def test_check_names_what_is_wrong_in_which_queue(email: Queue, client: Redis) -> None:
    fail(email)
    assert jobs("check") == "All is well in 2 queues.\n"
    assert parsed("check", "--queue", "email") == {"email": []}
    client.zadd("jobs:email:failed", {"no\x1bbody": 1})
    out = io.StringIO()
    with pytest.raises(CommandError, match="2 rules do not hold. Please report it, unless keys"):
        call_command("jobs", "check", stdout=out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("email: ") for line in lines)
    assert r"no\x1bbody" in lines[0]
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("jobs", "check", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"default": [], "email": check(email)}


def test_check_deploy_is_content_with_what_this_code_knows(email: Queue) -> None:
    push_job("test.quick")
    push_job("test.former", check=False)  # an alias
    fail(email, "test.broken")
    email.push({}, "", delay=60)  # for `pull`
    email.cancel(email.push({}, "shop.gone"))
    email.client.lpush("jobs:email:active", b"garbage", b'{"ID": "x", "Data": ""}')
    assert jobs("check-deploy") == "This code has a handler for every job.\n"
    assert parsed("check-deploy") == []


def test_check_deploy_counts_what_would_be_unknown(email: Queue) -> None:
    def ends(*words: str) -> str:
        out = io.StringIO()
        with pytest.raises(CommandError, match="has no handler for these jobs.*`aliases`") as error:
            call_command("jobs", "check-deploy", *words, stdout=out)
        assert error.value.returncode == 1
        return out.getvalue()

    for error in (KeyError(), OSError()):
        fail(email, "shop.old", error)
    other = fail(email, "shop.other")
    email.client.rename("jobs:email:group:shop.other TimeoutError", "jobs:email:group:other")
    email.client.hdel("jobs:email:groups", "shop.other TimeoutError")
    email.client.hset("jobs:email:groups", "other", 1)
    email.client.hset(f"jobs:email:job:{other}", "group", "other")
    email.push({}, "shop.go\x1bne", delay=60)
    for options in ({}, *[{"priority": 1}] * 2, {"limit_key": "ann", "limit": 1}):
        email.push({}, "shop.gone", **options)
    email.push({}, "test.quick")
    register(email, "w1")
    claim(email, slots=1)
    follow: dict[str, Any] = {"on_success": "shop.follow", "on_failure": "test.quick"}
    push_batch([("test.quick", {})], queue="email", check=False, **follow)
    push_job("shop.gone", queue="print", check=False)
    for project in ("another", "tests"):  # those of the own project are replaced
        define(email, schedule(project), project=project)
    assert ends().splitlines() == [
        "email: shop.follow: 1 following a batch",
        r"email: shop.go\x1bne: 1 scheduled",
        "email: shop.gone: 3 active, 1 processing",
        "email: shop.old: 2 failed",
        "email: shop.other: 1 failed",
        "email: shop.report: 1 by schedule",
        "print: shop.gone: 1 active",
    ]
    assert json.loads(ends("--json", "--queue", "print")) == [
        {"queue": "print", "handler": "shop.gone", "active": 1}
    ]


def test_check_deploy_looks_at_some_and_says_so(
    email: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LOOK", 3)
    email.push({}, "test.quick", delay=60)
    for _ in range(4):
        email.push({}, "test.quick")
    said = both("check-deploy", "--queue", "email")[1]
    assert said == "Of the active jobs of email 3 were looked at, not all.\n"


# Words.


@pytest.mark.parametrize("value", ["", "10", "m", "-1m", "1.5h", "0s", "1y", "٣m", "1234567s"])
def test_what_is_no_time_is_refused_by_its_name(client: Redis, value: str) -> None:
    with pytest.raises(CommandError, match="--since: .* is not a time: write 30s, 10m, 2h or 3d"):
        jobs("list", f"--since={value}")


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "1000001"])
def test_what_is_no_limit_is_refused_by_its_name(client: Redis, value: str) -> None:
    with pytest.raises(CommandError, match="--limit: .* is not a whole number from 1 to 1,000,000"):
        jobs("list", f"--limit={value}")


def test_times_are_read_and_said() -> None:
    assert [period(text) for text in ("30s", "10m", "2h", "3d")] == [30, 600, 7200, 259_200]
    said = {0: "0s", 59: "59s", 60: "1m", 61: "61s", 120: "2m", 3600: "1h", 90_000: "25h"}
    assert {seconds: span(seconds) for seconds in said} == said


def test_wide_characters_take_two_cells_and_accents_none() -> None:
    assert [cells(text) for text in ("abc", "日本", "e\u0301", "")] == [3, 4, 1, 0]
    assert table(["a", "b"], [["x", "日本" * 9]], 12, whole="").splitlines()[1] == "x  日本日本…"


def test_a_table_is_cut_in_its_widest_column_only_and_not_below_what_can_be_read() -> None:
    rows = [["x" * 30, "y" * 20, "z"]]
    assert table(["a", "b", "c"], rows, 50, whole="a").splitlines()[1] == "x" * 30 + "  " + (
        "y" * 14 + "…  z"
    )
    assert table(["a", "b", "c"], rows, 20, whole="a").splitlines()[1] == "x" * 30 + "  " + (
        "y" * 7 + "…  z"
    )
    assert table(["a", "b", "c"], rows, None, whole="").splitlines()[1].endswith("y  z")


ARGUMENTS = {
    "show": ["x"],
    "interrupt": ["x"],
    "retry": ["--all"],
    "discard": ["x"],
    "cancel": ["--all"],
    "batch": ["x"],
}
ARGUMENTS |= {word: ["--all"] for word in ("pause", "resume", "quiet", "stop")}


@pytest.mark.parametrize("word", sorted(set(WORDS) - {"doctor", "outbox"}))
def test_without_redis_each_word_says_so(word: str) -> None:
    with (
        override_settings(JOBS={"URL": "redis://127.0.0.1:1/0"}),
        pytest.raises(CommandError, match="Redis does not answer: .*127.0.0.1:1"),
    ):
        jobs(word, *ARGUMENTS.get(word, []), "--json")


def test_without_redis_a_command_ends_with_one_line_and_status_1(processes: Processes) -> None:
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "REDIS_URL": "redis://127.0.0.1:1/0"}
    status, said = end_of(processes.start("-m", "django", "jobs", "retry", "--all", **env))
    assert status == 1
    (line,) = said.splitlines()
    assert line.startswith("CommandError: Redis does not answer: ")


def test_redis_that_dies_half_way_is_a_sentence_that_counts(
    tmp_path: Path, processes: Processes
) -> None:
    port = free_port()
    redis = start_redis(port, str(tmp_path))
    with override_settings(JOBS={"URL": f"redis://127.0.0.1:{port}/0"}):
        fail_many(get_queue("email"), 20_000)
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    words = ("-m", "django", "jobs", "discard", "--queue", "email", "--yes")
    process = processes.start(*words, **env)
    read_until(process, "of 20,000 jobs discarded")
    redis.kill()
    redis.wait(10)
    status, said = end_of(process)
    assert status == 1
    assert re.fullmatch(
        r"CommandError: At least \d+,000 of 20,000 jobs discarded, then Redis did not answer: .*"
        r" The same command goes on with the others\.",
        said.splitlines()[-1],
    )


def test_what_runs_is_interrupted_by_its_id(email: Queue, client: Redis) -> None:
    runs, waits = email.push({}, priority=1), email.push()
    register(email, "w1")
    (claimed,) = claim(email, slots=1)
    assert claimed.id == runs
    with pytest.raises(CommandError, match="is processing: only .* `jobs interrupt` stops it"):
        jobs("retry", runs)
    with pytest.raises(CommandError, match="is active: only processing jobs can be interrupted"):
        jobs("interrupt", waits)
    assert jobs("interrupt", runs, "--dry-run") == "1 job would be interrupted.\n"
    assert not client.exists(f"{email.root}:stops")
    assert parsed("interrupt", runs) == {"interrupted": 1, "left_alone": 0}
    assert client.hgetall(f"{email.root}:stops") == {runs.encode(): b"w1"}
