"""The outbox, whoever dies: what is committed runs, nothing else does, nothing is pushed twice."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.commands import Processes, end_of
from tests.conftest import free_port
from tests.faults.site import Server
from tests.postgres import start_postgres

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.faults.outbox_settings"}
KILLS = """
import django; django.setup()
from tests.faults.outbox_kills import main; main({!r})
"""
ENOUGH = 100  # lines at least, or the trace does not see them


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """A PostgreSQL of the tests' own."""
    port = free_port()
    stop = start_postgres(port)
    yield {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres"}
    stop()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Environment that names a database."""
    if request.param == "postgresql":
        return dict(request.getfixturevalue("postgres"))
    return {"SQLITE": str(tmp_path / "db.sqlite3"), "PGPORT": ""}


@pytest.fixture
def env(database: dict[str, str], server: Server, processes: Processes) -> dict[str, str]:
    """Environment of processes that share a migrated database, and a Redis of the test's own."""
    env = {**SETTINGS, **database, "REDIS_URL": server.url}
    migrate = processes.start("-m", "django", "migrate", "--run-syncdb", "-v0", **env)
    assert end_of(migrate) == (0, "")
    return env


ON_POSTGRES = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.mark.parametrize(
    ("database", "name"),
    [
        *product(["postgresql"], ["one push", "many pushes", "rolled back", "relay", "atomic"]),
        *product(["sqlite3"], ["many pushes", "relay"]),
    ],
    indirect=["database"],
)
def test_a_kill_at_any_line_loses_nothing_and_repeats_nothing(
    processes: Processes, env: dict[str, str], name: str
) -> None:
    process = processes.start("-c", KILLS.format(name), **env)
    status, output = end_of(process, 120)
    assert status == 0, output
    lines, wrong = json.loads(output.splitlines()[-1])
    assert wrong == []
    assert len(lines) > ENOUGH
