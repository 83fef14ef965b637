"""Functions beside the workers: started, started again, ended with the supervisor."""

import os
import signal
from pathlib import Path

import pytest

from tests.commands import Process, Processes, end_of, read_until
from tests.conftest import wait_until

SCRIPT = """
import django
django.setup()
from django.core.management import call_command
from django_jobs import sidecars
from tests.testapp.sidecars import die, stay
sidecars.installed += [stay, die]
call_command("runjobs")
"""


@pytest.fixture
def started(processes: Processes, ledger: Path) -> Process:
    """A `runjobs` with two sidecars."""
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "LEDGER": str(ledger)}
    return processes.start("-c", SCRIPT, **env)


def pids(ledger: Path, word: str) -> list[int]:
    """Return the processes in which a function was started."""
    rows = [line.split() for line in ledger.read_text().splitlines()]
    return [int(pid) for said, pid in rows if said == word]


def test_one_that_dies_is_started_again_after_growing_pauses(
    started: Process, ledger: Path
) -> None:
    said = read_until(started, "again in 2 s")
    pauses = [line.split("; ")[1] for line in said.splitlines() if "testapp.sidecars.die" in line]
    assert pauses == [f"it is started again in {seconds} s." for seconds in ("0.5", "1", "2")]
    assert "(exit status 3)" in said
    assert len(set(pids(ledger, "die"))) == 3
    (other,) = pids(ledger, "stay")
    os.kill(other, signal.SIGKILL)
    assert "killed by SIGKILL" in read_until(started, "sidecars.stay ended")
    wait_until(lambda: len(pids(ledger, "stay")) == 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_they_obey_the_supervisor_alone_and_end_with_it(
    started: Process, processes: Processes, ledger: Path, number: signal.Signals
) -> None:
    wait_until(lambda: pids(ledger, "stay"))
    os.kill(pids(ledger, "stay")[0], signal.SIGTERM)
    read_until(started, "again in 2 s")  # by then the other would have been, too
    os.kill(started.pid, number)
    assert end_of(started)[0] == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: not processes.alive())
    assert len(pids(ledger, "stay")) == 1
