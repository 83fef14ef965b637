"""What docs/deployment.md shows is right for this program, and for those that read it."""

import configparser
import json
import shlex
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from redis import Redis

from django_jobs.management.commands import runjobs
from django_jobs.prometheus.server import Site
from django_jobs.vitals import Vitals
from tests.commands import ROOT
from tests.conftest import free_port, start_redis
from tests.test_docs import blocks_of

PAGE = ROOT / "docs" / "deployment.md"
SLACK = 10  # seconds that a process manager waits longer than runjobs
TEXTS = [(block.language, block.text) for block in blocks_of(PAGE)]
COMPOSE, *MANIFESTS = [yaml.safe_load(text) for language, text in TEXTS if language == "yaml"]


def text_of(language: str) -> str:
    return next(text for found, text in TEXTS if found == language)


def starts() -> Iterator[tuple[str, list[str], float]]:
    """Yield who starts runjobs, with which words, and how long it waits for its end."""
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string(text_of("ini"))
    service = unit["Service"]
    yield "systemd", shlex.split(service["ExecStart"]), service.getint("TimeoutStopSec")
    jobs = COMPOSE["services"]["jobs"]
    yield "compose", jobs["command"], float(jobs["stop_grace_period"].removesuffix("s"))
    for manifest in MANIFESTS:
        spec = manifest["spec"].get("jobTemplate", manifest)["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        yield manifest["kind"], container["command"], spec["terminationGracePeriodSeconds"]


def options_of(words: list[str]) -> Namespace:
    """Return the options of this runjobs; refuse words that it does not know."""
    assert words[0].endswith("python")
    assert words[1:3] == ["manage.py", "runjobs"]
    return runjobs.Command().create_parser("manage.py", "runjobs").parse_args(words[3:])


@pytest.mark.parametrize(("who", "words", "seconds"), list(starts()))
def test_nobody_kills_what_is_still_stopping(who: str, words: list[str], seconds: float) -> None:
    assert seconds >= options_of(words).shutdown_timeout + SLACK, who


def test_the_image_starts_runjobs_itself() -> None:
    command = text_of("dockerfile").splitlines()[-1]
    assert options_of(json.loads(command.removeprefix("CMD ")))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_kubernetes_takes_it(manifest: dict[str, Any]) -> None:
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(manifest, version, strict=True)


def test_compose_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(COMPOSE))
    words = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    subprocess.run(words, check=True)


def test_the_redis_is_set_up_as_its_page_says(tmp_path: Path) -> None:
    words = COMPOSE["services"]["redis"]["command"][1:]
    (conf,) = [
        block.text for block in blocks_of(ROOT / "docs" / "redis.md") if block.language == "conf"
    ]
    assert conf.splitlines()[1:] == [word.removeprefix("--") for word in words]
    port = free_port()
    process = start_redis(port, str(tmp_path), *words)
    with Redis(port=port, decode_responses=True) as redis:
        for name, value in (word.removeprefix("--").split() for word in words):
            assert redis.config_get(name) == {name: value}
    process.terminate()
    process.wait(10)


def test_probes_ask_where_runjobs_answers() -> None:
    (container,) = MANIFESTS[0]["spec"]["template"]["spec"]["containers"]
    options = options_of(container["command"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = [value["httpGet"] for name, value in container.items() if name.endswith("Probe")]
    assert len(probes) == 3
    site = Site(Vitals())
    for probe in probes:
        assert ports[probe["port"]] == options.metrics_port
        path, _, query = probe["path"].partition("?")
        said: list[str] = []
        site({"PATH_INFO": path, "QUERY_STRING": query}, lambda status, _: said.append(status))
        assert said[0].split()[0] in ("200", "503"), said
