"""The outbox, whoever dies: what is committed runs, nothing else does, nothing is pushed twice."""

import json
import os
import signal
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from tests.commands import Process, Processes, end_of, read_until
from tests.conftest import free_port, wait_until
from tests.faults.site import Server, Site
from tests.postgres import start_postgres
from tests.processes import lines

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.faults.outbox_settings"}
SEED = os.environ.get("SEED") or str(Random().randrange(10**6))
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


def call(processes: Processes, env: dict[str, str], what: str) -> Process:
    """Start a process that calls a function of ours."""
    words = (
        f"import django; django.setup(); from tests.faults import outbox_kills, outbox_load; {what}"
    )
    return processes.start("-c", words, **env)


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
    process = call(processes, env, f"outbox_kills.main({name!r})")
    status, output = end_of(process, 120)
    assert status == 0, output
    lines, wrong = json.loads(output.splitlines()[-1])
    assert wrong == []
    assert len(lines) > ENOUGH


def ask(env: dict[str, str], question: str) -> list[Any]:
    """Return the first column of what PostgreSQL answers."""
    where = f"host={env['PGHOST']} port={env['PGPORT']} user={env['PGUSER']} dbname=postgres"
    with psycopg.connect(where) as connection:
        return [row[0] for row in connection.execute(question)]


@pytest.fixture
def empty(env: dict[str, str]) -> None:
    """Start with empty tables: the server is the module's."""
    where = f"host={env['PGHOST']} port={env['PGPORT']} user={env['PGUSER']} dbname=postgres"
    with psycopg.connect(where) as connection:
        connection.execute("TRUNCATE django_jobs_outbox_outboxjob, testapp_note CASCADE")


@ON_POSTGRES
@pytest.mark.usefixtures("empty")
def test_two_relays_never_move_the_same_row(
    processes: Processes, env: dict[str, str], server: Server
) -> None:
    assert end_of(call(processes, env, "outbox_load.fill(20_000)"))[0] == 0
    relays = [call(processes, env, "print(outbox_load.relay.relay_all())") for _ in range(2)]
    moved = [int(end_of(process)[1]) for process in relays]
    assert sum(moved) == 20_000
    active: Any = server.client.lrange("jobs:default:active", 0, -1)
    assert len(active) == len(set(active)) == 20_000


@ON_POSTGRES
@pytest.mark.usefixtures("empty")
def test_a_relay_does_not_wait_for_one_that_is_frozen(
    processes: Processes, env: dict[str, str], server: Server
) -> None:
    assert end_of(call(processes, env, "outbox_load.fill(3_000)"))[0] == 0
    frozen = call(processes, env, "outbox_load.relay_and_freeze()")
    read_until(frozen, "frozen")
    other = call(processes, env, "print(outbox_load.relay.relay_all())")
    assert end_of(other) == (0, "2000\n")
    os.kill(frozen.pid, signal.SIGCONT)
    assert end_of(frozen) == (0, "1000\n")
    assert server.client.llen("jobs:default:active") == 3_000
    assert ask(env, "SELECT count(*) FROM django_jobs_outbox_outboxjob") == [0]


class Chaos:
    """Producers, workers, relays and a Redis that are killed at random."""

    def __init__(self, site: Site, processes: Processes, env: dict[str, str], seed: str) -> None:
        self.site, self.processes, self.env, self.dice = site, processes, env, Random(seed)
        self.turns = site.ledger.with_name("turns")
        self.turns.touch()

    def start(self, total: int) -> None:
        self.total = total
        self.trees = [self.site.work("--processes", "2", **self.env) for _ in range(2)]
        for tree in self.trees:
            wait_until(lambda tree=tree: len(tree.children()) == 2 + 1)  # type: ignore[misc]
        self.producers = [self.producer() for _ in range(3)]

    def producer(self) -> Process:
        arguments = (str(self.turns), self.total, str(self.dice.random()))
        return call(self.processes, self.env, f"outbox_load.produce{arguments!r}")

    def done(self) -> int:
        return self.turns.stat().st_size

    def go_on(self, most: int) -> None:
        """Let some more transactions begin."""
        until = min(self.total, self.done() + self.dice.randint(1, most))
        wait_until(lambda: self.done() >= until, 60)

    def kill_something(self) -> None:
        what = self.dice.choice(["producer"] * 4 + ["worker or relay"] * 4 + ["tree", "redis"])
        place = self.dice.randrange(2)
        if what == "producer":
            self.producers[place].kill()
            self.producers[place] = self.producer()
        elif what == "worker or relay":
            children = self.trees[place].children()
            if children:  # it may just begin
                os.kill(self.dice.choice(children), signal.SIGKILL)
        elif what == "tree":
            self.trees[place].kill_all()
            self.trees[place] = self.site.work("--processes", "2", **self.env)
        else:
            self.site.server.signal(signal.SIGKILL)
            self.go_on(20)
            self.site.server.start()

    def committed(self) -> list[str]:
        return ask(self.env, "SELECT text FROM testapp_note")

    def left(self) -> int:
        return int(ask(self.env, "SELECT count(*) FROM django_jobs_outbox_outboxjob")[0])


@ON_POSTGRES
@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("total", "seed"), [(200, "1"), pytest.param(2000, SEED, marks=pytest.mark.soak)]
)
def test_whoever_is_killed_what_is_committed_runs_and_is_pushed_once(
    site: Site, processes: Processes, env: dict[str, str], total: int, seed: str
) -> None:
    chaos = Chaos(site, processes, env, seed)
    chaos.start(total)
    while chaos.done() < total:
        chaos.go_on(12)
        chaos.kill_something()
    for producer in chaos.producers:
        assert end_of(producer)[0] == 0
    wait_until(lambda: not chaos.left(), 60)
    site.ids = chaos.committed()
    assert len(site.ids) == len(set(site.ids)) > total
    site.account(again=site.ids, seconds=60)  # a second push would begin with token 1 again
    assert {event.id for event in lines(site.ledger)} <= set(site.ids), "rolled back, and ran"
