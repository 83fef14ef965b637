"""For the tests of projects: run what was pushed in the test's own thread, and look at it.

Importing this gives the process a PREFIX of its own; its keys are deleted at exit.
"""

import asyncio
import atexit
import os
import secrets
from collections.abc import Mapping, Sequence
from multiprocessing import util
from typing import Any, cast

from asgiref.sync import async_to_sync
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from redis.exceptions import RedisError

from django_jobs import backoff, conf
from django_jobs.ageing import let_pass, own_keys
from django_jobs.caught import Caught
from django_jobs.connection import adopter, get_queue, queue_names
from django_jobs.exceptions import Empty, JobsError, PayloadError, WorkerLost
from django_jobs.failure import Failure
from django_jobs.handlers import Handler, get_handler
from django_jobs.job import Claimed, Job, decode_payload, encode_payload
from django_jobs.line import run, run_many
from django_jobs.middleware import wrapped
from django_jobs.monitor.reading import by_client
from django_jobs.outcome import Outcome, Policy, decide, find_handler
from django_jobs.push import Push
from django_jobs.queue import Queue
from django_jobs.record import JobRecord
from django_jobs.settling import Settling, tell_recovered
from django_jobs.solo import Solo


def run_jobs(*queues: str) -> int:
    """Run every job that is claimable now, in this thread and on its connections.

    Pushes that wait for a commit are made first, and after each run, as in a TestCase no
    commit comes. Jobs that fail are retried as their backoff says; what is scheduled stays.
    Returns how many runs there were.
    """
    total = 0
    while ran := _run_all(queues):
        total += ran
    return total


def pushed_jobs(handler: str | Handler | None = None) -> list[JobRecord]:
    """Return the jobs that wait, those of open transactions too, oldest first by queue."""
    run_commit_hooks()
    name = handler.name if isinstance(handler, Handler) else handler
    found = [record for queue in queue_names() for record in _waiting(get_queue(queue))]
    return [record for record in found if name is None or record.handler == name]


def assert_pushed(
    handler: str | Handler, payload: Any = ..., *, times: int | None = None
) -> list[JobRecord]:
    """Return the jobs of a handler that wait; with a payload, those that have it.

    Raises AssertionError if there is none, or another number than `times`.
    """
    jobs, wanted = pushed_jobs(handler), handler if isinstance(handler, str) else handler.name
    if payload is not ...:
        text = encode_payload(payload, handler=wanted, queue="", limit=2**30)
        jobs = [job for job in jobs if _holds(job, decode_payload(text.encode()))]
        wanted += f" {text}"
    if len(jobs) == times or (jobs and times is None):
        return jobs
    every = [f"{job.handler} {job.payload.decode('utf-8', 'replace')}" for job in pushed_jobs()]
    raise AssertionError(
        f"Wanted {'a job' if times is None else f'{times} jobs'} of {wanted}, found {len(jobs)}."
        f" What waits: {', '.join(every) or 'nothing'}."
    )


def travel(time: backoff.Seconds) -> None:
    """Let so many seconds, or a timedelta, pass for what waits; no clock is changed.

    Delays, backoffs, `expires`, `retry_for`, unique keys taken for a time, results and rates
    are that much nearer to their ends, and schedules push what they have missed. What is due
    then runs with the next `run_jobs()`.
    """
    run_commit_hooks()
    let_pass(round(backoff.seconds(time) * 1000))


def crash_worker(*queues: str) -> JobRecord:
    """Run one job, and lose its worker before Redis hears of it; the job comes again.

    What the run did stays done, as after a kill -9 in its last moment; its attempt counts.
    Returns the job as it stands then. Raises Empty if nothing is claimable.
    """
    run_commit_hooks()
    for group in by_client(get_queue(name) for name in queues or queue_names()):
        worker = _new_worker(group)
        with worker.beating():
            if (claimed := worker.claim()) is not None:
                _run(get_queue(claimed.queue), worker.id, claimed)
        worker.close()
        if claimed is not None:
            run_commit_hooks()
            return _recover(get_queue(claimed.queue), worker.id, claimed)
    raise Empty("No job can be claimed now, so none can be cut short.")


def make_job(handler: str | Handler, payload: Any = None, **fields: Any) -> Job:
    """Return a job for calling a handler directly: `send_receipt(make_job(...))`."""
    found = handler if isinstance(handler, Handler) else get_handler(handler)
    text = encode_payload(payload, handler=found.name, queue=found.queue, limit=2**30)
    values = {"id": "test", "queue": found.queue, "handler": found.name, **fields}
    return Job(payload=decode_payload(text.encode()), **values)


def delete_jobs() -> None:
    """Delete everything under this process' prefix."""
    for client, key in own_keys():
        client.delete(key)


def run_commit_hooks() -> None:
    """Make the pushes that wait for a commit; other hooks are left alone.

    What setUpTestData pushed stays with the class: a job run in one test would be missing
    in the next.
    """
    _refuse_event_loop()
    for connection in connections.all(initialized_only=True):
        in_test = _in_test(connection)
        for savepoints, hook, *_ in list(connection.run_on_commit):
            if isinstance(hook, Push) and (savepoints or not in_test):
                hook()


def _refuse_event_loop() -> None:
    """Raise JobsError on an event loop: its thread sees none of the test's transactions."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise JobsError("In an async test write `await sync_to_async(run_jobs)()`, and so for others.")


def _in_test(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether a test of a TestCase runs: its block is in that of its class."""
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks[1:2])


def _run_all(names: Sequence[str]) -> int:
    """Run what is claimable now; what that pushes to another Redis, or queue, is for the next."""
    run_commit_hooks()
    groups = by_client(get_queue(name) for name in names or queue_names())
    return sum(_run_group({queue.name: queue for queue in group}) for group in groups)


def _run_group(queues: Mapping[str, Queue]) -> int:
    client = next(iter(queues.values())).client
    worker = _new_worker(list(queues.values()))
    settling, count = Settling(lambda _: None), 0
    with worker.beating():
        while (claimed := worker.claim()) is not None:
            settling.add(claimed, _run(queues[claimed.queue], worker.id, claimed))
            calls = settling.calls(queues, worker.id)
            replies = run_many(client, [call for call, _ in calls])
            for reply, (_, apply) in zip(replies, calls, strict=True):
                apply(reply)
            run_commit_hooks()
            count += 1
    worker.close()
    return count


def _new_worker(queues: Sequence[Queue]) -> Solo:
    """Return a worker of some queues; what `runjobs` says of them is said of what they adopt."""
    client = queues[0].client
    if calls := [queue.configure(0, "", name) for queue in queues if (name := adopter(queue))]:
        run_many(client, calls)
    return Solo(client, queues, conf.get_settings().LEASE)


def _run(queue: Queue, worker: str, claimed: Claimed) -> Outcome:
    handler = find_handler(claimed, 0.0)
    if isinstance(handler, Outcome):
        return handler
    settings = conf.get_settings()
    policy = Policy(
        backoff=settings.of_queue(queue.name, "BACKOFF"),
        result_ttl=settings.of_queue(queue.name, "RESULT_TTL"),
    )
    result = None
    with Caught(Exception, SystemExit) as caught:
        job = claimed.job(queue.progress_function(worker))
        run = wrapped(handler, settings.MIDDLEWARE)
        result = async_to_sync(run)(job) if handler.is_async else run(job)
    return decide(caught.error, claimed, handler, policy, result)


def _recover(queue: Queue, worker: str, claimed: Claimed) -> JobRecord:
    """Take a job back from its worker, which is closed."""
    why = Failure.of(WorkerLost("The test has crashed its worker."), worker)
    states = run(queue.client, queue.recover([(claimed.id, claimed.token, worker)], why))
    tell_recovered(queue.name, [(claimed.id, worker)], [state.decode() for state in states])
    return cast(JobRecord, queue.job(claimed.id))


def _holds(job: JobRecord, payload: Any) -> bool:
    try:
        return bool(decode_payload(job.payload) == payload)
    except PayloadError:
        return False


def _waiting(queue: Queue) -> list[JobRecord]:
    client = queue.client
    listed: list[Any] = list(reversed(client.lrange(f"{queue.root}:active", 0, -1)))
    for name in ("priority", "limited", "scheduled"):
        listed += client.zrange(f"{queue.root}:{name}", 0, -1)
    found = [queue.job(id.decode("utf-8", "replace")) for id in listed]
    return [record for record in found if record and record.state != "failed"]


def _clean_up() -> None:
    try:
        delete_jobs()
    except (RedisError, OSError):
        return


def _clean_up_in_child(_: object) -> None:
    """Do so when a process of `test --parallel` ends: it comes to no atexit."""
    util.Finalize(None, _clean_up, exitpriority=0)


def _own_prefix() -> None:
    conf.use_prefix(f"jobs-test-{os.getpid()}-{secrets.token_hex(4)}")


_own_prefix()
atexit.register(_clean_up)
os.register_at_fork(after_in_child=_own_prefix)
util.register_after_fork(_clean_up, _clean_up_in_child)
