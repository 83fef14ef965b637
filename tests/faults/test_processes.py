"""Processes that are killed, frozen, busy or told to end: nothing is lost, nothing runs twice."""

import os
import signal
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.faults.site import BEAT, LEASE, Site, freeze, stays, stop, thaw
from tests.processes import Tree, lines

SKEW = """
import time
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + {0}
time.time_ns = lambda: now_ns() + {0} * 10**9
"""

STARTUP = 2.0  # seconds a tree may take until it works

# A job is back this long after its machine died; half a second for a busy test machine.
REDO = LEASE + 4 * BEAT + 0.5


def test_eight_kills_of_the_whole_tree_lose_nothing(site: Site) -> None:
    site.nap(0.05, 300, max_attempts=20)
    cut_short: set[str] = set()
    for _ in range(8):
        tree, seen = site.work(), len(lines(site.ledger))
        wait_until(lambda seen=seen: len(lines(site.ledger)) > seen + 30)  # type: ignore[misc]
        tree.kill_all()
        held = site.owners()
        cut_short |= set(held)
    site.work()
    wait_until(lambda: not held.items() & site.owners().items(), REDO)
    site.account(again=cut_short, seconds=60)


@pytest.mark.parametrize(
    ("who", "seconds"),
    [("whole tree", 1.5), pytest.param("supervisor", 3, marks=pytest.mark.soak)],
)
def test_what_thaws_after_its_lease_changes_nothing_and_works_on(
    site: Site, who: str, seconds: float
) -> None:
    frozen = site.work("--concurrency", "4")
    ids = site.nap(seconds, 4)
    site.wait_began(ids)
    (child,) = frozen.children()
    pids = [frozen.pid] if who == "supervisor" else [frozen.pid, child]
    freeze(pids)
    others, now = site.work(), time.monotonic()
    site.wait_began(ids, after=now, seconds=REDO + STARTUP)
    taken = site.owners(ids)
    thaw(pids)
    wait_until(lambda: frozen.output.count("was given to another worker") == 4)
    stays(lambda: site.owners(ids) == taken, 2 * BEAT)
    site.account(again=ids)
    stop(others)
    more = site.push("test.quick", times=20)
    site.wait_ran(more)
    assert runs_in(site, child) >= set(more)
    site.account(again=ids)


def test_a_frozen_worker_keeps_its_jobs_while_its_supervisor_beats(site: Site) -> None:
    tree = site.work("--concurrency", "4")
    ids = site.nap(1, 4)
    site.wait_began(ids)
    held, (child,) = site.owners(ids), tree.children()
    freeze([child])
    site.ready()
    stays(lambda: site.owners(ids) == held, 2 * LEASE)
    thaw([child])
    site.account()
    assert runs_in(site, child) >= set(ids)


@pytest.mark.parametrize("leases", [3, pytest.param(10, marks=pytest.mark.soak)])
def test_a_job_of_many_leases_runs_once_even_with_the_gil_in_c(site: Site, leases: int) -> None:
    trees = [site.work("--concurrency", "2")]
    ids = site.nap(leases * LEASE) + site.push("fault.hold_gil", {"seconds": 2.5 * LEASE})
    site.wait_began(ids)
    trees.append(site.ready())
    site.account()
    assert [tree.poll() for tree in trees] == [None, None]


def test_a_killed_supervisor_takes_its_workers_along_and_loses_nothing(site: Site) -> None:
    tree = site.work("--processes", "2", "--concurrency", "2")
    site.nap(0.5, 8)
    wait_until(lambda: len(site.owners()) >= 4)
    children = tree.children()
    tree.kill()
    wait_until(lambda: not any(alive(pid) for pid in children), 1)
    held = site.owners()
    site.work()
    wait_until(lambda: not held.items() & site.owners().items(), REDO)
    site.account(again=held)


def test_a_result_outlives_the_worker_that_could_not_record_it(site: Site) -> None:
    tree = site.work()
    (id,) = site.nap(0.5, result_ttl=60)
    site.wait_began([id])
    site.server.signal(signal.SIGSTOP)
    site.wait_ran([id])
    os.kill(tree.children()[0], signal.SIGKILL)
    site.server.signal(signal.SIGCONT)
    site.account()  # the run had ended: it is not done again
    record = site.queue.job(id)
    assert record is not None
    assert (record.state, record.result) == ("succeeded", b"null")


def runs_in(site: Site, pid: int) -> set[str]:
    """Return the jobs that ran to their end in one process."""
    return {event.id for event in lines(site.ledger) if event.pid == pid and event.what == "ran"}


def alive(pid: int) -> bool:
    """Say whether a process is there, and no zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.soak)])
def test_a_worker_whose_clock_is_an_hour_off_does_as_the_others(
    site: Site, tmp_path: Path, hours: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SKEW.format(hours * 3600))
    site.work("--concurrency", "1")
    ids = site.nap(3 * LEASE)
    site.wait_began(ids)
    held = site.owners(ids)
    (clock,) = site.push("fault.clock")
    site.work(PYTHONPATH=str(tmp_path))
    wait_until(lambda: clock in site.failed())
    error = site.failed()[clock].errors[-1]
    assert abs(float(error.message) - error.at.timestamp() - hours * 3600) < 60
    (due,), pushed = site.nap(0, delay=1), time.monotonic()
    site.wait_began([due])
    assert 0.95 < site.began([due])[due] - pushed < 1.5
    assert site.owners(ids) == held  # nobody's jobs were taken
    site.account()


def when_it_starts(site: Site, tree: Tree) -> None:
    wait_until(lambda: "handlers" in tree.output)


def when_it_works(site: Site, tree: Tree) -> None:
    wait_until(lambda: len(lines(site.ledger)) > 20)


def when_a_worker_dies(site: Site, tree: Tree) -> None:
    when_it_works(site, tree)
    os.kill(tree.children()[0], signal.SIGKILL)


def when_redis_is_frozen(site: Site, tree: Tree) -> None:
    when_it_works(site, tree)
    site.server.signal(signal.SIGSTOP)


TERM, INT, HUP = (signal.SIGTERM,), (signal.SIGINT,), (signal.SIGHUP,)
MOMENTS = (when_it_starts, when_it_works, when_a_worker_dies, when_redis_is_frozen)
SHORT = {(when_it_works, INT), (when_a_worker_dies, TERM * 2)}
CASES = [
    pytest.param(
        *case,
        id=f"{case[0].__name__}-{'+'.join(number.name for number in case[1])}",
        marks=[] if case in SHORT else pytest.mark.soak,
    )
    for case in product(MOMENTS, (TERM, TERM * 2, INT, HUP))
]


@pytest.mark.parametrize(("moment", "numbers"), CASES)
def test_a_signal_at_a_bad_moment_loses_nothing(
    site: Site, moment: Callable[[Site, Tree], None], numbers: tuple[signal.Signals, ...]
) -> None:
    site.nap(0.1, 60)
    tree = site.work("--shutdown-timeout", "1", "--concurrency", "4")
    moment(site, tree)
    for number in numbers:
        os.killpg(tree.pid, number)
    tree.wait(8 if moment is when_redis_is_frozen else 2.5)
    site.server.signal(signal.SIGCONT)
    held = site.owners()
    site.work()
    site.account(again=held)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_shutdown_ends_in_time_while_redis_is_frozen(site: Site, signals: int) -> None:
    site.nap(0.1, 100)
    tree = site.work("--shutdown-timeout", "1")
    when_redis_is_frozen(site, tree)
    for _ in range(signals):
        os.killpg(tree.pid, signal.SIGTERM)
    tree.wait(1 + 1 + 1)  # its timeout, one second more, and one for a call that was under way
