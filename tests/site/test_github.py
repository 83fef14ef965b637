"""Workflows and issue forms are what the forge takes, and run nothing that is not pinned."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.commands import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
FORMS = sorted((FOLDER / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [FOLDER / "ISSUE_TEMPLATE" / "config.yml"]),
    ],
)
def test_the_forge_takes_them(schema: str, files: list[Path]) -> None:
    subprocess.run(["check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files], check=True)


def test_workflows_are_safe() -> None:
    subprocess.run(["zizmor", "--offline", "--no-progress", FOLDER], check=True)


def test_every_action_is_pinned_and_says_its_version() -> None:
    used = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert len(used) > 5
    for line in used:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_what_they_run_is_there() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS)
    tox = (ROOT / "tox.ini").read_text()
    assert set(re.findall(r"run: (\.\S+)", text)) == {".ci/run"}
    for env in re.findall(r"tox -e (\S+)", text):
        assert f"[testenv:{env}]" in tox
    for never in ("continue-on-error", "if: false"):
        assert never not in text
