"""For the tests of projects: run what was pushed in the test's own thread, and look at it.

Importing this gives the process a PREFIX of its own; its keys are deleted at exit.
"""

import atexit
import os
import secrets
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connections
from redis.exceptions import RedisError

from django_jobs import conf
from django_jobs.claims import beat_call, claim_call, new_worker, read_claim
from django_jobs.connection import get_client, get_queue, queue_names
from django_jobs.executor import (
    SUCCEEDED,
    Outcome,
    Policy,
    call_handler,
    decide,
    find_handler,
)
from django_jobs.handlers import Handler, get_handler
from django_jobs.job import Claimed, Job, JobRecord, decode_payload, encode_payload
from django_jobs.push import Push
from django_jobs.queue import Queue
from django_jobs.scripts import Line, run, run_many
from django_jobs.settling import Settling


def run_jobs(*queues: str) -> int:
    """Run every job that is claimable now, in this thread and on its connections.

    Pushes that wait for a commit are made first, as in a TestCase no commit comes; what
    the jobs push in their turn is run too. Jobs that fail are retried as their backoff
    says; what is scheduled stays. Returns how many runs there were.
    """
    total = 0
    while True:
        run_commit_hooks()
        runs = sum(_run_queue(get_queue(name)) for name in queues or queue_names())
        if not runs:
            return total
        total += runs


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
    for url in {conf.get_settings().url(name) for name in queue_names()}:
        client = get_client(url)
        for key in client.scan_iter(f"{prefix}:*", count=1000):
            client.delete(key)


def run_commit_hooks() -> None:
    """Make the pushes that wait for a commit; other hooks are left alone."""
    for connection in connections.all(initialized_only=True):
        waiting, connection.run_on_commit = connection.run_on_commit, []
        for entry in waiting:
            if isinstance(entry[1], Push):
                entry[1]()
            else:
                connection.run_on_commit.append(entry)


def _run_queue(queue: Queue) -> int:
    worker, line, count = new_worker(), Line(queue.client), 0
    settling = Settling(lambda _: None)
    try:
        while True:
            count += 1
            beat = beat_call([queue], queue.lease, [worker])
            claim = claim_call([queue], worker, count, queue.lease, slots=1)
            answer = read_claim(line.run([beat, claim])[1], [queue])
            if not answer.jobs:
                return count - 1
            (claimed,) = answer.jobs
            settling.add(claimed, _run(queue, worker, claimed))
            calls = settling.calls({queue.name: queue}, worker)
            for reply, (_, apply) in zip(
                run_many(queue.client, [call for call, _ in calls]), calls, strict=True
            ):
                apply(reply)
    finally:
        line.release()
        run(queue.client, queue.close(worker, answered=True))


def _run(queue: Queue, worker: str, claimed: Claimed) -> Outcome:
    handler = find_handler(claimed, 0.0)
    if isinstance(handler, Outcome):
        return handler
    settings = conf.get_settings()
    policy = Policy(backoff=settings.of_queue(queue.name, "BACKOFF"))
    try:
        job = claimed.job(queue.progress_function(worker))
        if handler.is_async:
            async_to_sync(handler.function)(job)
        else:
            call_handler(handler, job)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is an outcome
        return decide(error, claimed, handler, policy)
    return SUCCEEDED


def _waiting(queue: Queue) -> list[JobRecord]:
    client = queue.client
    listed: list[Any] = list(reversed(client.lrange(f"{queue.root}:active", 0, -1)))
    for name in ("priority", "scheduled"):
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
