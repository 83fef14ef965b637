"""`runjobs` as real processes, with a ledger outside Redis."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis

from django_jobs.connection import get_queue
from django_jobs.monitor import history, workers
from django_jobs.push import push_job, push_jobs
from tests.conftest import Runjobs, wait_until
from tests.processes import events, ran


def drain(runjobs: Runjobs, *words: str) -> str:
    """Run `runjobs --drain` to its end and return what it printed."""
    process = runjobs("--drain", *words)
    assert process.wait(60) == 0, process.output
    return process.output


def test_drain_runs_each_job_once_and_says_what_it_serves(runjobs: Runjobs, ledger: Path) -> None:
    ids = push_jobs("test.quick", [{}] * 300) + [push_job("test.nap_async", {"seconds": 0.1})]
    output = drain(runjobs, "--processes", "2")
    assert ran(ledger) == Counter(ids)
    assert "test.quick" in output
    assert "tests.testapp.jobs" in output
    assert get_queue().stats().active == get_queue().stats().processing == 0


def test_failures_are_retried_five_times_then_kept(runjobs: Runjobs, ledger: Path) -> None:
    broken, hopeless = push_job("test.broken"), push_job("test.hopeless")
    leave = push_job("test.leave")
    output = drain(runjobs)
    assert [attempt for _, id, attempt in events(ledger) if id == broken] == [1, 2, 3, 4, 5], output
    failed = {record.id: record for record in get_queue().failed()}
    assert set(failed) == {broken, hopeless, leave}
    assert failed[broken].errors[-1].message == "out of order"
    assert "out of order" in failed[broken].errors[-1].traceback
    assert failed[hopeless].attempts == 1
    assert failed[leave].exception == "SystemExit"
    assert broken in output


def test_a_snoozed_job_comes_back_and_spends_no_attempt(runjobs: Runjobs, ledger: Path) -> None:
    id = push_job("test.snooze")
    runjobs()
    wait_until(lambda: ran(ledger)[id])
    assert [attempt for _, _, attempt in events(ledger)] == [1] * 4
    assert get_queue().stats().failed == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [("test.patient", "RuntimeError"), ("test.stubborn", "django_jobs.exceptions.JobStopped")],
)
def test_a_job_that_is_stopped_ends_and_is_not_tried_again(
    runjobs: Runjobs, ledger: Path, name: str, why: str
) -> None:
    id, beside = push_job(name), push_job("test.nap", {"seconds": 1})
    tree = runjobs()
    wait_until(lambda: len(events(ledger)) == 2)
    assert get_queue().stop(id)
    assert not get_queue().stop("nobody")
    wait_until(lambda: get_queue().stats().failed, 15)
    record = next(get_queue().failed())
    assert (record.id, record.exception, record.attempts) == (id, why, 1)
    wait_until(lambda: ran(ledger)[beside])
    assert tree.children()
    assert not get_queue().stop(id)
    assert get_queue().retry(id)
    wait_until(lambda: len([event for event in events(ledger) if event[1] == id]) == 2)


def test_timeouts_end_sync_and_async_runs(runjobs: Runjobs) -> None:
    ids = {push_job("test.endless"), push_job("test.endless_async")}
    drain(runjobs)
    failed = list(get_queue().failed())
    assert {record.id for record in failed} == ids
    assert {record.exception for record in failed} == {"django_jobs.exceptions.JobTimeout"}


def test_an_unknown_handler_fails_at_once_when_draining(runjobs: Runjobs) -> None:
    id = push_job("test.gone", check=False)
    drain(runjobs)
    (record,) = get_queue().failed()
    assert record.id == id
    assert record.exception == "django_jobs.exceptions.UnknownHandler"


def test_jobs_of_a_name_from_before_run_and_pushes_take_the_new_name(
    runjobs: Runjobs, ledger: Path
) -> None:
    old, new = push_job("test.former", check=False), push_job("test.former")
    records = [get_queue().job(id) for id in (old, new)]
    assert [record and record.handler for record in records] == ["test.former", "test.renamed"]
    drain(runjobs)
    assert ran(ledger) == Counter([old, new])


def test_a_job_that_kills_its_worker_ends_as_failed_and_its_neighbours_run(
    runjobs: Runjobs, ledger: Path
) -> None:
    poison = push_job("test.kill")
    good = push_jobs("test.quick", [{}] * 6)
    process = runjobs()
    wait_until(lambda: get_queue().stats().failed == 1 and set(good) <= set(ran(ledger)), 30)
    (record,) = get_queue().failed()
    assert record.id == poison
    assert record.exception == "django_jobs.exceptions.WorkerLost"
    assert "SIGKILL" in record.errors[-1].message
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_killed_child_costs_only_what_it_cut_short(runjobs: Runjobs, ledger: Path) -> None:
    ids = push_jobs("test.nap", [{"seconds": 0.4}] * 24)
    process = runjobs("--concurrency", "4")
    wait_until(lambda: len(events(ledger)) == 12)  # four have ended, four are under way
    (child,) = process.children()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: max(attempt for *_, attempt in events(ledger)) == 2, 2)
    wait_until(lambda: set(ran(ledger)) == set(ids), 30)
    cut_short = {id for event, id, attempt in events(ledger) if attempt == 2}
    assert len(cut_short) <= 4
    assert all(count == 1 for id, count in ran(ledger).items() if id not in cut_short)
    wait_until(lambda: get_queue().stats().processing == 0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_jobs_claimed_ahead_do_not_wait_behind_long_ones(runjobs: Runjobs, ledger: Path) -> None:
    first = push_jobs("test.quick", [{}] * 500)
    long = push_jobs("test.nap", [{"seconds": 8}] * 2)
    behind = push_jobs("test.quick", [{}] * 20)
    runjobs("--concurrency", "2")
    wait_until(lambda: {id for event, id, _ in events(ledger) if event == "began"} == set(long))
    assert set(first) <= set(ran(ledger))
    runjobs("--concurrency", "2")
    wait_until(lambda: set(behind) <= set(ran(ledger)), 5)
    assert not set(long) & set(ran(ledger))
    wait_until(lambda: get_queue().stats().processing == 2)
    assert {attempt for *_, attempt in events(ledger)} == {1}


def test_sigterm_to_the_group_gives_unfinished_jobs_back_uncounted(
    runjobs: Runjobs, ledger: Path
) -> None:
    ids = push_jobs("test.nap", [{"seconds": 30}] * 3)
    process = runjobs("--concurrency", "2", "--shutdown-timeout", "1")
    wait_until(lambda: len(events(ledger)) == 2)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(3) == 0
    stats = get_queue().stats()
    assert (stats.active, stats.processing) == (3, 0)
    records = [get_queue().job(id) for id in ids]
    assert [record.attempts for record in records if record] == [0, 0, 0]
    assert [get_queue().pull(lambda job: job.id) for _ in ids] == ids


def cpu_ticks(pid: int) -> int:
    """Return the processor time a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_a_worker_that_waits_for_its_last_job_rests(runjobs: Runjobs, ledger: Path) -> None:
    id = push_job("test.nap", {"seconds": 6})
    process = runjobs()
    wait_until(lambda: len(events(ledger)) == 1)
    (child,) = process.children()
    process.send_signal(signal.SIGTERM)
    before = cpu_ticks(child)
    used = before
    while not ran(ledger) and Path(f"/proc/{child}").exists():
        used = cpu_ticks(child)
        wait_until(lambda seen=used: ran(ledger) or cpu_ticks(child) >= seen)  # type: ignore[misc]
    assert ran(ledger) == {id: 1}
    assert used - before < 2 * os.sysconf("SC_CLK_TCK")
    assert process.wait(10) == 0


def test_a_tree_killed_at_once_is_recovered_after_its_lease(runjobs: Runjobs, ledger: Path) -> None:
    ids = push_jobs("test.nap", [{"seconds": 1.0}] * 4)
    first = runjobs()
    wait_until(lambda: len(events(ledger)) == 4)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(10)
    second = runjobs()
    wait_until(lambda: set(ran(ledger)) == set(ids), 30)
    wait_until(lambda: get_queue().stats().processing == 0)
    assert {attempt for event, _, attempt in events(ledger) if event == "ran"} == {2}
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0


def test_workers_outlive_redis_connections(
    runjobs: Runjobs, ledger: Path, client: "Redis[bytes]"
) -> None:
    process = runjobs()
    ids = push_jobs("test.nap", [{"seconds": 0.05}] * 100)
    while len(ran(ledger)) < 60:
        client.client_kill_filter(_type="normal", skipme=True)
        before = len(ran(ledger))
        wait_until(lambda seen=before: len(ran(ledger)) > seen, 20)  # type: ignore[misc]
    wait_until(lambda: set(ran(ledger)) == set(ids), 30)
    assert all(count == 1 for count in ran(ledger).values())
    wait_until(lambda: get_queue().stats().processing == 0)
    assert process.poll() is None


def test_workers_live_under_a_supervisor_that_is_process_1(ledger: Path) -> None:
    """As in a container: a child whose parent is process 1 is no orphan."""
    id = push_job("test.quick")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", *as_root]
        + [sys.executable, "-m", "django", "runjobs", "--drain"],
        env={**os.environ, "LEDGER": str(ledger), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
        timeout=20,
    )
    assert ran(ledger) == {id: 1}


SPAWNED = """
import django
from django.core.management import call_command
from django_jobs import child

if __name__ == "__main__":
    django.setup()
    child.START_METHOD = "spawn"
    call_command("runjobs", "--drain")
"""


def test_workers_can_be_spawned_as_on_macos(ledger: Path, tmp_path: Path) -> None:
    ids = [push_job("test.quick"), push_job("test.broken")]
    script = tmp_path / "runjobs.py"
    script.write_text(SPAWNED)
    environment = {"LEDGER": str(ledger), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run(
        [sys.executable, script],
        env={**os.environ, **environment, "PYTHONPATH": os.getcwd()},
        check=True,
        timeout=30,
    )
    assert ran(ledger) == {ids[0]: 1}
    assert [record.id for record in get_queue().failed()] == [ids[1]]


def test_max_jobs_renews_the_process(runjobs: Runjobs, ledger: Path) -> None:
    push_jobs("test.quick", [{}] * 30)
    drain(runjobs, "--max-jobs", "10", "--concurrency", "2")
    assert len(ran(ledger)) == 30
    pids = {line.split()[3] for line in ledger.read_text().splitlines()}
    assert len(pids) >= 2


def test_a_queue_that_appears_later_is_served(runjobs: Runjobs, ledger: Path) -> None:
    process = runjobs()
    first = push_job("test.quick")
    wait_until(lambda: first in ran(ledger))
    late = push_job("test.quick", queue="late")
    wait_until(lambda: late in ran(ledger), 20)
    assert process.poll() is None


@pytest.mark.parametrize(
    "words", [["--queues", "a:x"], ["--queues", "a:2,b"], ["--queues", "a b!"]]
)
def test_bad_queues_are_refused(runjobs: Runjobs, words: list[str]) -> None:
    process = runjobs(*words)
    assert process.wait(20) == 1
    assert "queue" in process.output


def told(worker: str, what: str) -> bool:
    return get_queue().order(worker, what)


def test_a_worker_that_is_told_to_go_quiet_ends_what_it_runs_and_claims_no_more(
    runjobs: Runjobs, ledger: Path
) -> None:
    push_jobs("test.nap", [{"seconds": 4}] * 2)
    tree = runjobs("--concurrency", "2")
    wait_until(lambda: [worker.busy for worker in workers.all_workers([get_queue()])] == [2])
    (worker,) = workers.all_workers([get_queue()])
    assert (worker.state, worker.concurrency) == ("running", 2)
    assert (worker.supervisor, [worker.pid]) == (tree.pid, tree.children())
    assert told(worker.id, "quiet")
    wait_until(lambda: workers.all_workers([get_queue()])[0].state == "quiet")
    late = push_job("test.quick")
    wait_until(lambda: len(ran(ledger)) == 2)
    wait_until(lambda: workers.all_workers([get_queue()])[0].busy == 0)
    assert get_queue().stats().active == 1
    other = runjobs()
    wait_until(lambda: late in ran(ledger))
    assert tree.poll() is other.poll() is None


def test_a_worker_that_is_told_to_stop_ends_its_whole_runjobs(
    runjobs: Runjobs, ledger: Path
) -> None:
    tree = runjobs("--processes", "2")
    wait_until(lambda: len(workers.all_workers([get_queue()])) == 2)
    assert told(workers.all_workers([get_queue()])[0].id, "stop")
    assert tree.wait(20) == 0
    assert workers.all_workers([get_queue()]) == []


def test_what_ran_is_counted_by_handler(runjobs: Runjobs, ledger: Path) -> None:
    push_jobs("test.quick", [{}] * 300)
    push_job("test.broken")
    push_job("test.nap", {"seconds": 0.3})
    drain(runjobs)
    found = {stats.handler: stats for stats in history.by_handler([get_queue()], 1)}
    assert (found["test.quick"].runs, found["test.quick"].failures) == (300, 0)
    assert (found["test.broken"].runs, found["test.broken"].failures) == (5, 5)
    assert 0.2 < found["test.nap"].took_at(0.5) < 0.6
    assert found["test.quick"].waited.total() == 300
    assert found["test.broken"].waited.total() == 1
    minutes = history.Timeline().minutes(get_queue())
    assert [sum(column) for column in zip(*minutes, strict=True)] == [306, 5]
    assert history.by_handler([get_queue()], 24 * 7)[0].runs > 0


def test_what_ever_ran_is_counted_and_does_not_expire(
    runjobs: Runjobs, ledger: Path, client: Redis
) -> None:
    push_jobs("test.nap", [{"seconds": 0.3}] * 2)
    push_job("test.broken")
    drain(runjobs)
    found = {stats.handler: stats for stats in history.ever([get_queue()])["default"]}
    assert 0.6 <= found["test.nap"].total < 1.5
    assert (found["test.nap"].failures, found["test.nap"].failed) == (0, 0)
    assert (found["test.broken"].failures, found["test.broken"].failed) == (5, 1)
    assert client.ttl("jobs:default:total") == -1
