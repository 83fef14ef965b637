"""For the tests of projects: run what was pushed in the test's own thread, and look at it.

Importing this gives the process a PREFIX of its own; its keys are deleted at exit.
"""

import atexit
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from redis.exceptions import RedisError

from django_jobs import conf
from django_jobs.caught import Caught
from django_jobs.connection import get_client, get_queue, queue_names, redis_urls
from django_jobs.handlers import Handler, get_handler
from django_jobs.job import Claimed, Job, decode_payload, encode_payload
from django_jobs.line import run_many
from django_jobs.middleware import wrapped
from django_jobs.monitor.reading import by_client
from django_jobs.outcome import Outcome, Policy, decide, find_handler
from django_jobs.push import Push
from django_jobs.queue import Queue
from django_jobs.record import JobRecord
from django_jobs.settling import Settling
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


def make_job(handler: str | Handler, payload: Any = None, **fields: Any) -> Job:
    """Return a job for calling a handler directly: `send_receipt(make_job(...))`."""
    found = handler if isinstance(handler, Handler) else get_handler(handler)
    text = encode_payload(payload, handler=found.name, queue=found.queue, limit=2**30)
    values = {"id": "test", "queue": found.queue, "handler": found.name, **fields}
    return Job(payload=decode_payload(text.encode()), **values)


def delete_jobs() -> None:
    """Delete everything under this process' prefix."""
    prefix = conf.get_settings().PREFIX
    names = queue_names()
    clients = {get_client(url) for url in redis_urls(names)}
    for client in clients | {get_queue(name).client for name in names}:
        for key in client.scan_iter(f"{prefix}:*", count=1000):
            client.delete(key)


def run_commit_hooks() -> None:
    """Make the pushes that wait for a commit; other hooks are left alone.

    What setUpTestData pushed stays with the class: a job run in one test would be missing
    in the next.
    """
    for connection in connections.all(initialized_only=True):
        in_test = _in_test(connection)
        for savepoints, hook, *_ in list(connection.run_on_commit):
            if isinstance(hook, Push) and (savepoints or not in_test):
                hook()


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
    worker = Solo(client, list(queues.values()), conf.get_settings().LEASE)
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


def _own_prefix() -> None:
    conf.use_prefix(f"jobs-test-{os.getpid()}-{secrets.token_hex(4)}")


_own_prefix()
atexit.register(_clean_up)
os.register_at_fork(after_in_child=_own_prefix)
