"""The tutorial, followed: its files are written and its commands run, one after the other."""

import shlex
import urllib.request
from pathlib import Path
from urllib.error import URLError

from tests.commands import ROOT, Process, Processes, end_of, read_until
from tests.conftest import free_port, wait_until
from tests.test_docs import blocks_of

DONE = [  # by whoever installed what runs this test
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    'pip install "django-redis-jobs[embedded]"',
]
ADMIN = {"USERNAME": "admin", "EMAIL": "admin@example.com", "PASSWORD": "admin"}


class Reader:
    """Does what a tutorial says, in a folder."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        self.port = free_port()
        self.worker: Process | None = None

    def write(self, text: str) -> None:
        name, _, rest = text.removeprefix("# ").partition("\n")
        with (self.folder / name).open("a") as file:
            file.write(f"\n{rest}")

    def run(self, line: str) -> None:
        words = shlex.split(line)
        if words[0] == "curl":
            self.post(words[2], words[3].replace(":8000", f":{self.port}"))
        elif words[0] == "django-admin":
            self.end("-m", "django", *words[1:])
        elif words[2] == "runserver":
            self.start("manage.py", "runserver", str(self.port))
            wait_until(self.serves, 30)
        elif words[2] == "runjobs":
            self.worker = self.start(*words[1:])
        elif words[2] == "createsuperuser":
            self.end(*words[1:], "--noinput")
        else:
            self.end(*words[1:])

    def start(self, *words: str) -> Process:
        env = {f"DJANGO_SUPERUSER_{name}": value for name, value in ADMIN.items()}
        path = f"{self.folder}:{ROOT}"
        return self.processes.start(*words, cwd=self.folder, PYTHONPATH=path, **env)

    def end(self, *words: str) -> None:
        status, output = end_of(self.start(*words))
        assert status == 0, output

    def serves(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/", timeout=5).close()
        except URLError:
            return False
        return True

    def post(self, data: str, url: str) -> None:
        with urllib.request.urlopen(url, data.encode(), timeout=10) as answer:
            assert "Your receipt is job" in answer.read().decode()

    def sees(self, text: str) -> None:
        """Wait until the worker has said this, whatever the time and the job's id."""
        assert self.worker is not None
        for line in text.splitlines():
            read_until(self.worker, line.rpartition("... ")[2])


def test_followed(tmp_path: Path, processes: Processes) -> None:
    reader = Reader(tmp_path / "site", processes)
    reader.folder.mkdir()
    for block in blocks_of(ROOT / "docs" / "tutorial.md"):
        if block.language == "python":
            reader.write(block.text)
        elif block.language == "text":
            reader.sees(block.text)
        else:
            for line in block.text.splitlines():
                if line not in DONE:
                    reader.run(line)
