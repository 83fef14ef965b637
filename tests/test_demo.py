"""The example shop, as its reader starts it: real processes, an external Redis or a private one."""

import os
import re
import signal
import urllib.request
from collections.abc import Callable

import pytest
from redis import Redis

from django_jobs.exceptions import Empty
from django_jobs.queue import Queue
from tests.commands import ROOT, Process, Processes, end_of, read_until
from tests.conftest import free_port, wait_until

MANAGE = ROOT / "example_project" / "manage.py"
Shop = Callable[..., Process]


@pytest.fixture
def shop(processes: Processes) -> Shop:
    """Start a command of the shop."""
    return lambda *words, **env: processes.start(MANAGE, *words, **env)


def assert_cleared_up(processes: Processes, client: Redis) -> None:
    assert list(client.scan_iter("demo-*")) == []
    assert processes.alive() == []
    assert list(processes.folder.iterdir()) == []


def test_every_order_gets_its_receipt_although_a_worker_is_killed(
    shop: Shop, processes: Processes, client: Redis
) -> None:
    process = shop("demo", "--orders", "30")
    status, output = end_of(process)
    assert status == 0, output
    assert len(re.findall(r"Worker [1-9]\d* was killed", output)) == 1
    table = dict(re.findall(r"^  (\w+) +(\d+)", output, re.MULTILINE))
    assert int(table.pop("retried")) >= 14, "every third order and every fifth"
    assert table == {"placed": "30", "receipts": "30", "failed": "0", "lost": "0"}
    assert_cleared_up(processes, client)


def test_without_a_redis_of_ones_own_a_private_one_comes_and_goes(
    shop: Shop, processes: Processes, client: Redis
) -> None:
    process = shop("demo", "--orders", "5", REDIS_URL="")
    status, output = end_of(process)
    assert status == 0, output
    assert "a private Redis" in output
    assert client.dbsize() == 0
    assert_cleared_up(processes, client)


def test_an_order_without_a_receipt_is_exit_status_1(
    shop: Shop, processes: Processes, client: Redis
) -> None:
    process = shop("demo", "--orders", "3", "--patience", "4")
    wait_until(lambda: any(client.scan_iter("demo-*:default:queue")))
    (root,) = (key.decode().removesuffix(":queue") for key in client.scan_iter("demo-*:queue"))
    thief = Queue("default", client, prefix=root.partition(":")[0])

    def steals() -> bool:
        try:
            thief.pull(lambda job: None)
        except Empty:
            return False
        return True

    wait_until(steals)
    status, output = end_of(process)
    assert status == 1, output
    assert "Without a receipt: 1" in output
    assert_cleared_up(processes, client)


def test_a_redis_that_is_away_is_a_sentence(
    shop: Shop, processes: Processes, client: Redis
) -> None:
    for words in (["demo"], ["demo", "--serve"]):
        process = shop(*words, REDIS_URL="redis://127.0.0.1:1/0")
        status, output = end_of(process)
        assert status == 1
        assert "redis://127.0.0.1:1/0 does not answer" in output
        assert "unset REDIS_URL" in output
    assert_cleared_up(processes, client)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("One worker will be killed", signal.SIGINT),
        ("was killed", signal.SIGINT),
        ("was killed", signal.SIGTERM),
        ("was killed", signal.SIGHUP),
        ("receipts, ", signal.SIGINT),
    ],
)
def test_interrupted_at_any_moment_it_clears_up(
    shop: Shop, processes: Processes, client: Redis, moment: str, number: int
) -> None:
    process = shop("demo", "--orders", "12")
    read_until(process, moment)
    os.killpg(process.pid, number)
    os.killpg(process.pid, number)  # impatience changes nothing
    status, output = end_of(process)
    assert status == 130, output
    assert "Stopped after" in output
    assert_cleared_up(processes, client)


def test_serve_keeps_site_admin_and_workers_running_until_it_is_stopped(
    shop: Shop, processes: Processes, client: Redis
) -> None:
    port = free_port()
    words = ("demo", "--serve", "--port", str(port))
    process = shop(
        *words, SHOP_DATABASE=str(processes.folder / "db.sqlite3"), SHOP_PREFIX="demo-served"
    )
    said = read_until(process, "/admin/")
    assert "user admin, password admin" in said

    def page(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    wait_until(lambda: page("/").count("sent ") >= 2)  # the second comes with the trickle
    assert 'name="password"' in page("/admin/")
    second = shop(*words)
    assert f"Port {port} is taken" in end_of(second)[1]
    process.send_signal(signal.SIGTERM)
    status, output = end_of(process)
    assert status == 0, output
    assert "Stopped." in output
    assert processes.alive() == []
