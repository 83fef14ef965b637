"""Round trips for whoever looks: many commands at once, what is broken counts as absent."""

from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import RedisError, ResponseError

from django_jobs.queue import Queue

Command = Sequence[Any]


def by_client(queues: Iterable[Queue]) -> list[list[Queue]]:
    """Return the queues in groups that share a Redis."""
    groups: dict[int, list[Queue]] = {}
    for queue in queues:
        groups.setdefault(id(queue.client), []).append(queue)
    return list(groups.values())


def ask(queue: Queue, commands: Iterable[Command]) -> list[Any]:
    """Return the replies of one round trip; None for a key of another type. Raises RedisError."""
    with queue.client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        replies = pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
            raise reply
    return [None if isinstance(reply, Exception) else reply for reply in replies]


def text(value: bytes | None) -> str:
    """Return a field as text, whatever bytes it has."""
    return (value or b"").decode("utf-8", "replace")


def number(value: bytes | None) -> int:
    """Return a field as a number; 0 for what is none."""
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else 0
