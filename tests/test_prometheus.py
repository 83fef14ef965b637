"""What Prometheus is told by the web process and beside workers, and the probes of `runjobs`."""

import os
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from django.test import Client, override_settings
from prometheus_client import CollectorRegistry, openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from django_jobs.connection import get_queue
from django_jobs.line import run
from django_jobs.monitor.workers import all_workers
from django_jobs.prometheus import JobsCollector
from django_jobs.push import push_job, push_jobs
from tests.commands import Process, Processes, end_of
from tests.conftest import Runjobs, free_port, start_redis, wait_until
from tests.processes import ran

FIELDS = {
    "shop.send runs": 10,
    "shop.send failures": 3,
    "shop.send failed": 1,
    "shop.send took": 5 * 2**20,
    "shop.send took:9": 1,
    "shop.send took:20": 6,
    "shop.send took:40": 3,
    "shop.send wait:0": 4,
    "shop.send wait:8": 3,
}
STATES = ("active", "scheduled", "processing", "succeeded", "failed")
OUTCOMES = ("succeeded", "retry", "failed")
TOOK = ("0.0009765625", "0.5", "1.0", "4096.0", "+Inf")
WAITED = ("0.001", "0.128", "0.256", "+Inf")
RUN = {"queue": "email", "handler": "shop.send"}

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values(text: str) -> Values:
    """Read what Prometheus would."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Values, name: str, **labels: str) -> float | None:
    return found.get((f"django_jobs_{name}", frozenset(labels.items())))


def page() -> str:
    response = Client().get("/metrics/")
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    return response.content.decode()


def test_jobs_by_queue_and_state(client: "Redis[bytes]") -> None:
    queue = get_queue("email")
    queue.push()
    queue.push()
    queue.push(delay=60)
    failed = queue.push()
    queue.fail(failed, "enough")
    queue.pause()
    client.hset(f"{queue.root}:job:{queue.push(limit_key='a', limit=1)}", "enqueued_at", 1)
    found = values(page())
    counts = {state: value(found, "jobs", queue="email", state=state) for state in STATES}
    assert counts == {"active": 3, "scheduled": 1, "processing": 0, "succeeded": 0, "failed": 1}
    assert value(found, "paused", queue="email") == 1
    assert value(found, "paused", queue="default") == 0
    assert (value(found, "oldest_wait_seconds", queue="email") or 0) > 10**9
    assert value(found, "oldest_wait_seconds", queue="default") == 0
    assert value(found, "workers", state="lost") == 0
    assert [found[key] for key in found if key[0] == "django_jobs_redis_up"] == [1]


def test_runs_by_outcome_and_how_long_they_took(client: "Redis[bytes]") -> None:
    queue = get_queue("email")
    queue.push()
    run(client, queue.count(FIELDS))
    found = values(page())
    outcomes = [value(found, "runs_total", **RUN, outcome=name) for name in OUTCOMES]
    assert outcomes == [7, 2, 1]
    below = {le: value(found, "run_seconds_bucket", **RUN, le=le) for le in TOOK}
    assert below == {"0.0009765625": 1, "0.5": 1, "1.0": 7, "4096.0": 7, "+Inf": 10}
    assert value(found, "run_seconds_count", **RUN) == 10
    assert value(found, "run_seconds_sum", **RUN) == 5
    below = {le: value(found, "wait_seconds_bucket", **RUN, le=le) for le in WAITED}
    assert below == {"0.001": 4, "0.128": 4, "0.256": 7, "+Inf": 7}


def test_counters_do_not_fall_when_the_minute_is_over(client: "Redis[bytes]") -> None:
    queue = get_queue("email")
    queue.push()
    run(client, queue.count(FIELDS))
    client.delete(*client.keys("*:minute:*"), *client.keys("*:hour:*"))
    run(client, queue.count(FIELDS))
    assert value(values(page()), "runs_total", **RUN, outcome="succeeded") == 14


def test_a_scraper_gets_the_format_that_it_asks_for(client: "Redis[bytes]") -> None:
    queue = get_queue("email")
    queue.push()
    run(client, queue.count(FIELDS))
    response = Client().get("/metrics/", headers={"Accept": "application/openmetrics-text"})
    assert response["Content-Type"] == openmetrics.exposition.CONTENT_TYPE_LATEST
    text = response.content.decode()
    families = openmetrics_parser.text_string_to_metric_families(text)  # it is strict
    assert "django_jobs_run_seconds" in {family.name for family in families}


def test_redis_away_is_said_and_to_register_asks_for_none() -> None:
    away = f"redis://:secret@127.0.0.1:{free_port()}/3"
    with override_settings(JOBS={"URL": away}):
        registry = CollectorRegistry(auto_describe=True)
        registry.register(JobsCollector())
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            registry.register(JobsCollector())
        found = values(page())
    where = away.replace(":secret@", "")
    assert value(found, "redis_up", redis=where) == 0
    assert {name for name, _ in found} == {"django_jobs_redis_up", "django_jobs_workers"}


# The server beside workers.


def get(port: int, path: str) -> tuple[int, str]:
    """Return the status and text of a page; 0 as long as nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def status(port: int, path: str) -> int:
    return get(port, path)[0]


def test_metrics_beside_workers(runjobs: Runjobs, ledger: Path) -> None:
    port = free_port()
    runjobs("--metrics-port", str(port))
    push_jobs("test.quick", [{}] * 20)
    push_job("test.hopeless")
    wait_until(lambda: status(port, "/metrics") == 200)
    run = {"queue": "default", "handler": "test.quick"}

    def found() -> Values:
        return values(get(port, "/metrics")[1])

    wait_until(lambda: value(found(), "runs_total", **run, outcome="succeeded") == 20)
    now = found()
    run["handler"] = "test.hopeless"
    assert value(now, "runs_total", **run, outcome="failed") == 1
    assert value(now, "workers", state="running") == 1
    assert status(port, "/healthz") == status(port, "/readyz") == 200
    assert get(port, "/") == (404, "Here are /metrics, /healthz, /readyz.\n")
    assert get(port, "/healthz?away=soon") == (400, "away=soon is no number of seconds.\n")


def pids() -> list[int]:
    rows = all_workers([get_queue()])
    return [row.pid for row in rows if row.state == "running"]


def test_a_stuck_worker_is_ill(processes: Processes, client: "Redis[bytes]") -> None:
    port = free_port()
    started = start(processes, "vitals.STUCK = 8", port)
    wait_until(lambda: status(port, "/readyz") == 200)
    (first,) = pids()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pids() and pids() != [first])
    (worker,) = pids()
    assert status(port, "/healthz") == 200
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: status(port, "/healthz") == 503, seconds=30)
    assert get(port, "/healthz")[1].startswith("A worker's main loop has not turned for ")
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: status(port, "/healthz") == 200)
    os.kill(started.pid, signal.SIGSTOP)
    wait_until(lambda: status(port, "/healthz") == 503, seconds=30)
    assert get(port, "/healthz")[1].startswith("The supervisor has not turned for ")
    os.kill(started.pid, signal.SIGCONT)


def test_a_redis_away_for_longer_than_a_limit_is_ill(
    runjobs: Runjobs, ledger: Path, tmp_path: Path
) -> None:
    redis_port, port = free_port(), free_port()
    redis = start_redis(redis_port, str(tmp_path))
    runjobs("--metrics-port", str(port), REDIS_URL=f"redis://127.0.0.1:{redis_port}/0")
    wait_until(lambda: status(port, "/readyz") == 200)
    redis.kill()
    redis.wait()
    wait_until(lambda: status(port, "/readyz") == 503)
    wait_until(lambda: status(port, "/healthz?away=2") == 503)
    assert get(port, "/healthz?away=2")[1].startswith("Redis has not answered for ")
    assert status(port, "/healthz") == 200
    assert 'django_jobs_redis_up{redis="' in get(port, "/metrics")[1]
    redis = start_redis(redis_port, str(tmp_path))
    wait_until(lambda: status(port, "/readyz") == 200)
    wait_until(lambda: status(port, "/healthz?away=2") == 200)
    redis.kill()
    redis.wait()


def test_whoever_stops_is_not_ready_but_well(runjobs: Runjobs, ledger: Path) -> None:
    port = free_port()
    tree = runjobs("--metrics-port", str(port))
    push_job("test.nap", {"seconds": 6})
    wait_until(lambda: ledger.read_text())
    wait_until(lambda: status(port, "/readyz") == 200)
    tree.terminate()
    wait_until(lambda: status(port, "/readyz") == 503)
    assert not ran(ledger)
    assert status(port, "/healthz") == 200
    assert tree.wait(20) == 0
    assert status(port, "/healthz") == 0


def test_a_port_that_is_taken_is_said_in_a_line(
    processes: Processes, client: "Redis[bytes]"
) -> None:
    with socket.create_server(("", 0)) as other:
        code, said = end_of(start(processes, "", other.getsockname()[1]))
    assert code == 1
    assert "Address already in use" in said.splitlines()[-1]


def test_without_the_library_it_is_said_what_to_install(
    processes: Processes, client: "Redis[bytes]"
) -> None:
    without = "import sys; sys.modules['prometheus_client'] = None"
    code, said = end_of(start(processes, without, free_port()))
    assert code == 1
    assert "install django-redis-jobs[prometheus]" in said.splitlines()[-1]


SCRIPT = """
import django
django.setup()
from django.core.management import execute_from_command_line
from django_jobs import vitals
{first}
execute_from_command_line(["manage.py", "runjobs", "--skip-checks", "--metrics-port", "{port}"])
"""


def start(processes: Processes, first: str, port: int, **env: str) -> Process:
    """Start `runjobs` after a line of Python."""
    env["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    return processes.start("-c", SCRIPT.format(first=first, port=port), **env)
