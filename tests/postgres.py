"""A private PostgreSQL, for the tests that ask for one."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")
NEW = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")
OPTIONS = "-c listen_addresses=127.0.0.1 -c unix_socket_directories="
FORGETFUL = " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
MISSING = (
    "TEST_DATABASE=postgresql needs the PostgreSQL server. Install it (apt-get install postgresql,"
    " dnf install postgresql-server, brew install postgresql), or put its initdb on the PATH."
)


def start_postgres(port: int, *, durable: bool = False) -> Callable[[], None]:
    """Start a PostgreSQL on this port; return what stops it. It is fast unless it is durable."""
    programs = find_programs()
    folder = Path(tempfile.mkdtemp(prefix="django-jobs-postgres-"))
    user = give_away(folder) if os.getuid() == 0 else {}

    def call(program: str, *words: str) -> None:
        command = [programs / program, "-D", folder / "data", *words]
        with (folder / "log").open("a") as log:
            subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=True, **user)

    def stop() -> None:
        call("pg_ctl", "stop", "--wait", "--mode=immediate")
        shutil.rmtree(folder)

    try:
        call("initdb", *NEW)
        call(
            "pg_ctl", "start", "--wait", "-o", f"-p {port} {OPTIONS}{'' if durable else FORGETFUL}"
        )
    except subprocess.CalledProcessError:
        log = (folder / "log").read_text()
        shutil.rmtree(folder)
        raise pytest.UsageError(f"PostgreSQL does not start:\n{log}") from None
    return stop


def find_programs() -> Path:
    """Return the folder of initdb and pg_ctl: the one on the PATH, else the newest."""
    folders = [str(path) for pattern in FOLDERS for path in Path("/").glob(pattern)]
    folders.sort(key=lambda folder: [int(number) for number in re.findall(r"\d+", folder)])
    path = os.pathsep.join([os.environ["PATH"], *reversed(folders)])
    if not (initdb := shutil.which("initdb", path=path)):
        raise pytest.UsageError(MISSING)
    return Path(initdb).parent


def give_away(folder: Path) -> dict[str, Any]:
    """Give the folder to nobody, and return how to run a program so: PostgreSQL refuses root."""
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
