"""`runjobs --reload`: a `runjobs` of its own process, started again when code changes."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from django.utils.autoreload import StatReloader

EVERY = 1.0  # seconds between looks at the files


def run_reloading(words: Sequence[str]) -> int:
    """Run this command line again and again; return the status of a run that ends itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while True:
        process = subprocess.Popen([sys.executable, *words])
        try:
            changed = _watch(process)
        except KeyboardInterrupt:
            changed = False
            process.terminate()
        if not changed:
            return process.wait()
        sys.stdout.write("Code has changed; starting again.\n")
        process.terminate()
        process.wait()


def _watch(process: "subprocess.Popen[bytes]") -> bool:
    """Return True when a file changed, False when the process ended."""
    files = _snapshot()
    while process.poll() is None:
        time.sleep(EVERY)
        if _snapshot() != files:
            return True
    return False


def _snapshot() -> dict[Path, float]:
    return dict(StatReloader().snapshot_files())
