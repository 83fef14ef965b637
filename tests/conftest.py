"""A private Redis (and PostgreSQL, if asked for) for the whole run, and what tests share."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import django
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from django_jobs.queue import Queue
from tests.commands import Processes
from tests.postgres import start_postgres
from tests.processes import Tree, trees

Runjobs = Callable[..., Tree]
# These need settings or packages of their own: see tox.ini; test_testing.py runs the last.
collect_ignore = ["browser", "outbox", "site", "project"]
if django.VERSION < (6, 0) and find_spec("django_tasks") is None:
    collect_ignore.append("tasks")  # there are none to run


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Poll until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_redis(
    port: int, folder: str, *words: str, config: tuple[str, ...] = ()
) -> "subprocess.Popen[bytes]":
    """Start a private redis-server and wait for it."""
    binary = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if not binary:
        raise RuntimeError("The tests need redis-server: apt-get install redis-server")
    process = subprocess.Popen(
        [binary, *config, "--port", str(port), "--save", "", "--dir", folder, *words],
        stdout=subprocess.DEVNULL,
    )
    client = Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except RedisConnectionError:
            return False

    wait_until(answers)
    client.close()
    return process


def pytest_configure(config: pytest.Config) -> None:
    port, folder = free_port(), tempfile.mkdtemp()
    config.redis = start_redis(port, folder)  # type: ignore[attr-defined]
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    if os.environ.get("TEST_DATABASE") == "postgresql":
        port = free_port()
        config.add_cleanup(start_postgres(port))
        os.environ.update(PGHOST="127.0.0.1", PGPORT=str(port), PGUSER="postgres")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.redis.terminate()  # type: ignore[attr-defined]
    config.redis.wait(10)  # type: ignore[attr-defined]


@pytest.fixture
def client() -> Iterator[Redis]:
    """An empty Redis."""
    client = Redis.from_url(os.environ["REDIS_URL"], protocol=2)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def silent_redis() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def queue(client: Redis) -> Queue:
    """A queue of its own Redis."""
    return Queue("email", client)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A file that handlers write to."""
    path = tmp_path / "ledger"
    path.touch()
    return path


@pytest.fixture
def runjobs(client: Redis, ledger: Path) -> Iterator[Runjobs]:
    """Start `runjobs` on an empty Redis."""
    with trees(ledger) as start:
        yield start


@pytest.fixture
def processes(tmp_path: Path, client: Redis) -> Iterator[Processes]:
    """Processes that leave their files in `tmp_path`."""
    processes = Processes(tmp_path)
    yield processes
    processes.stop()
