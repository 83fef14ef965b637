"""Waiting for the end of a job, and its result."""

import json
import time
from typing import Any

from asgiref.sync import sync_to_async

from django_jobs.connection import async_client, get_queue
from django_jobs.exceptions import JobGone
from django_jobs.queue import Queue
from django_jobs.record import JobRecord

LOOK = 5.0  # seconds between looks, in case that word of the end was lost
ENDED = ("succeeded", "failed")


def wait_for(id: str, timeout: float | None = None, *, queue: str = "default") -> JobRecord:
    """Wait until a job has succeeded or failed, and return it as it stands then.

    Give the job a `result_ttl`, or nothing is left of it when it has succeeded: that
    raises JobGone (a LookupError), as an unknown id does. Raises TimeoutError after
    `timeout` seconds, and RedisError.
    """
    place, until = get_queue(queue), _deadline(timeout)
    with place.client.pubsub(ignore_subscribe_messages=True) as word:
        word.subscribe(*_channels(place, id))
        while (record := _look(place, id)) is None:
            word.get_message(timeout=_left(until, id, place))
        return record


async def await_for(id: str, timeout: float | None = None, *, queue: str = "default") -> JobRecord:
    """Wait for a job without blocking the event loop; see `wait_for`."""
    place, until = get_queue(queue), _deadline(timeout)
    look = sync_to_async(_look, thread_sensitive=False)
    redis = await sync_to_async(async_client, thread_sensitive=False)(queue)
    async with redis, redis.pubsub(ignore_subscribe_messages=True) as word:
        await word.subscribe(*await sync_to_async(_channels, thread_sensitive=False)(place, id))
        while (record := await look(place, id)) is None:
            await word.get_message(timeout=_left(until, id, place))
        return record


def result_of(record: JobRecord) -> Any:
    """Return what a job's handler returned. Raises JobGone if it is not kept."""
    if record.state != "succeeded":
        raise JobGone(f"Job {record.id} of queue {record.queue} is {record.state}: no result.")
    return json.loads(record.result)


def _look(queue: Queue, id: str) -> JobRecord | None:
    """Return the job if it has ended; let the scripts know that somebody waits."""
    queue.client.set(f"{queue.root}:waited", 1, ex=round(4 * LOOK))
    record = queue.job(id)
    if record is None:
        raise JobGone(
            f"Job {id} of queue {queue.name!r} is not there: it succeeded and had no result_ttl,"
            " or was cancelled or discarded, or never was in this queue."
        )
    return record if record.state in ENDED else None


def _channels(queue: Queue, id: str) -> list[str]:
    """Return where the end of a job is told, and of the one that stands for it."""
    record = queue.job(id)
    return [f"{queue.root}:ended:{name}" for name in {id, record.id if record else id}]


def _deadline(timeout: float | None) -> float:
    return float("inf") if timeout is None else time.monotonic() + timeout


def _left(until: float, id: str, queue: Queue) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"Job {id} of queue {queue.name!r} has not ended yet.")
    return min(left, LOOK)
