"""The pages about moving: a project before, and after with both workers, on one Redis."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from django_jobs.queue import Queue
from tests.commands import ROOT, Processes
from tests.conftest import wait_until
from tests.test_docs import SETTINGS_END, Block, Site, assert_handlers_ran, blocks_in, run_manage

PAGES = sorted((ROOT / "docs" / "moving").glob("*.md"))
BIN = Path(sys.executable).parent
STAYS = ("celery -A shop worker", "python manage.py rqworker", "python manage.py run_huey")


def make(site: Site, blocks: list[Block]) -> None:
    """Write the files of these blocks, and run the others."""
    for block in blocks:
        if block.language == "python" and block.file:
            site.add(block.file, block.text)
    site.add("settings.py", SETTINGS_END)
    site.manage("migrate", "--run-syncdb")
    plain = [(b.where, b.text) for b in blocks if b.language == "python" and not b.file]
    site.run("-m", "tests.snippets", stdin=json.dumps(plain))


def start(line: str, site: Site) -> None:
    """Start a worker of the old queue."""
    words = shlex.split(line)
    words = ["-m", "django", *words[2:]] if words[0] == "python" else ["-m", *words]
    path = {"PYTHONPATH": f"{site.folder}:{ROOT}", "DJANGO_SETTINGS_MODULE": "settings"}
    site.processes.start(*words, cwd=site.folder, **path)


def look(line: str, site: Site) -> None:
    """Run what looks whether the old queue is empty; it is."""
    if line.startswith("python"):
        site.manage(*shlex.split(line)[2:])
    else:
        words = [os.path.expandvars(word) for word in shlex.split(line)]
        assert subprocess.run(words, check=True, capture_output=True).stdout == b"0\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_project_moves(page: Path, tmp_path: Path, processes: Processes, client: Redis) -> None:
    before, _, rest = page.read_text().partition("\n## After\n")
    old, new = blocks_in(before, page.name), blocks_in(rest, page.name)
    make(Site(tmp_path / "before", processes), old)
    site = Site(tmp_path / "after", processes)
    kept = [block for block in old if block.file not in ("", "shop/tasks.py")]
    make(site, kept + new)
    default = Queue("default", client)
    assert default.stats().active == 1, "what the new code pushed; the old one's waits elsewhere"
    lines = [line for block in new if block.language == "sh" for line in block.text.splitlines()]
    for line in lines:
        if line.startswith(STAYS):
            start(line, site)
            wait_until(lambda: default.stats().active == 2, seconds=60)
        elif line.startswith("python manage.py runjobs"):
            run_manage(shlex.split(line), site)
        else:
            look(line, site)
    assert_handlers_ran(site)
    assert len((site.folder / "started").read_text().split()) == 2
