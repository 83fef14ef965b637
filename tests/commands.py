"""Commands as real processes: started, read, and found again wherever they went."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Process = subprocess.Popen[str]


class Processes:
    """Starts commands that take `folder` for the temp dir; it is their mark in /proc."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Process] = []

    def start(
        self, *words: str | Path, cwd: Path | None = None, stdin: str | None = None, **env: str
    ) -> Process:
        """Start Python with these words, in a process group of its own."""
        ours = {"TMPDIR": str(self.folder), "PYTHONPATH": str(ROOT), **env}
        process = subprocess.Popen(
            [sys.executable, "-u", *words],
            env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"} | ours,
            cwd=cwd,
            stdin=None if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        if process.stdin is not None:
            process.stdin.write(stdin or "")
            process.stdin.close()
            process.stdin = None  # communicate would flush it
        self._started.append(process)
        return process

    def alive(self) -> list[int]:
        """Return the process ids of all that live, children of children too."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"TMPDIR={self.folder}\0".encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def stop(self) -> None:
        """Kill what is left."""
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        for process in self._started:
            print(process.communicate()[0])


def read_until(process: Process, text: str, seconds: float = 30) -> str:
    """Return the output up to the line that holds the text; kill it when that takes too long."""
    assert process.stdout is not None
    said = ""
    limit = threading.Timer(seconds, process.kill)
    limit.start()
    for line in process.stdout:
        said += line
        if text in line:
            limit.cancel()
            return said
    raise AssertionError(f"It ended without {text!r}:\n{said}")


def end_of(process: Process, seconds: float = 60) -> tuple[int, str]:
    """Return exit status and output, neither of which may be a traceback."""
    output, _ = process.communicate(timeout=seconds)
    assert "Traceback" not in output, output
    return process.returncode, output
