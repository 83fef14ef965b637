"""Reads a contestant's file, and makes the environment in which it runs."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT

FOLDER = Path(__file__).parent / "contestants"
HEADER = re.compile(r"^# /// script\n(.*?)^# ///$", re.MULTILINE | re.DOTALL)
VERSIONS = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]), sep='\\n')"


@dataclass(frozen=True)
class Contestant:
    """What the header of its file says; the keys are patterns of Redis keys."""

    name: str  # of its module
    dependencies: tuple[str, ...]
    speed: tuple[dict[str, str], ...]  # title, and how to start its worker for each load
    safe: str  # how to start its worker for the fault race
    waiting: str  # the key where jobs wait
    held: tuple[str, ...]  # the keys of all jobs it knows and has not ended
    settings: tuple[str, ...]
    better: str
    failed: tuple[str, ...] = ()  # the keys that list what it gave up
    apps: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Return the module with its app."""
        return f"benchmarks.peers.contestants.{self.name}"

    @property
    def title(self) -> str:
        """Return its name in words."""
        return self.speed[0]["title"].partition(",")[0]

    @property
    def packages(self) -> list[str]:
        """Return the names of what it depends on, without extras."""
        return [word.partition("[")[0] for word in self.dependencies]

    def python(self, cache: Path) -> Path:
        """Return the interpreter of its environment; make that if it is not there."""
        folder = cache / self.name
        python, mark = folder / "bin" / "python", folder / "dependencies"
        wanted = "\n".join(self.dependencies)
        if not mark.exists() or mark.read_text() != wanted:
            print(f"installing {self.title} into {folder}")
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*command, *self.dependencies], check=True, cwd=ROOT)
            mark.write_text(wanted)
        return python

    def versions(self, cache: Path) -> dict[str, str]:
        """Return the version of each package it depends on."""
        command = [self.python(cache), "-c", VERSIONS, *self.packages]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return dict(zip(self.packages, found.split(), strict=True))


def read(path: Path) -> Contestant:
    """Read one file; the format of its header is that of PEP 723."""
    found = HEADER.search(path.read_text())
    assert found, f"{path} has no header"
    header = tomllib.loads(re.sub(r"^# ?", "", found[1], flags=re.MULTILINE))
    told: dict[str, Any] = {"dependencies": header["dependencies"], **header["tool"]["peer"]}
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in told.items()}
    return Contestant(path.stem, **values)


def contestants(only: str = "") -> Iterator[Contestant]:
    """Yield all, or those whose module has `only` in its name."""
    for path in sorted(FOLDER.glob("[a-z]*.py")):
        if only in path.stem:
            yield read(path)
