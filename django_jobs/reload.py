"""`runjobs --reload`: a `runjobs` of its own process, started again when code changes."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from django.apps import apps
from django.utils.autoreload import StatReloader, get_child_arguments

EVERY = 1.0  # seconds between looks at the files
PARENT = "DJANGO_JOBS_RELOADER"  # tells the child the reloader's process id
INSTALLED = {"site-packages", "dist-packages"}

Files = dict[Path, float]


def follow_reloader() -> bool:
    """Say whether a reloader started this process; if so, end when it ends (on Linux)."""
    if os.environ.get(PARENT) != str(os.getppid()):
        return False
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    return True


class Reloader:
    """Runs this command line again and again, and passes signals on to it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._told = False

    def run(self) -> int:
        """Work until told to stop, or until a run succeeds; return the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        while not self._told:
            files = _snapshot()
            status = self._run_until_change(files)
            if status == 0:
                return 0
            if status is None:
                sys.stdout.write("Code has changed; starting again.\n")
            elif not self._told:
                sys.stdout.write(f"runjobs ended with status {status}; waiting for a change.\n")
            sys.stdout.flush()
            while status and not self._told and _snapshot() == files:
                time.sleep(EVERY)
        return max(0, status or 0)  # a child that was told early may end by the signal

    def _run_until_change(self, files: Files) -> int | None:
        """Return the exit status; None if it was stopped because files changed."""
        # In a group of its own: Ctrl-C reaches this process alone, and is passed on once.
        self._child = child = subprocess.Popen(
            get_child_arguments(), env={**os.environ, PARENT: str(os.getpid())}, process_group=0
        )
        if self._told:
            child.terminate()
        while child.poll() is None and (self._told or _snapshot() == files):
            with suppress(subprocess.TimeoutExpired):
                child.wait(EVERY)
        if child.poll() is not None:
            return child.returncode
        child.terminate()
        child.wait()
        return None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        if self._child is not None:
            self._child.terminate()


def _snapshot() -> Files:
    """Return when each module, and each file of the project's apps, was changed."""
    reloader = StatReloader()
    for app in apps.get_app_configs():
        if INSTALLED.isdisjoint(Path(app.path).parts):
            reloader.watch_dir(app.path, "**/*.py")
    return dict(reloader.snapshot_files())
