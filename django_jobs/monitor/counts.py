"""How many jobs are where, and for how long the oldest waits."""

from collections.abc import Iterable
from typing import Any

from django_jobs.line import run_many
from django_jobs.monitor.reading import ask, by_client, number
from django_jobs.queue import Queue
from django_jobs.record import Stats
from django_jobs.scripts import Call, get_script

FIRST = (("LRANGE", "active", -1), ("ZRANGE", "limited", 0))  # where the next jobs stand
TIMES = ("due_at", "enqueued_at")


def all_stats(queues: Iterable[Queue]) -> dict[str, Stats]:
    """Return the counts of each queue by its name, one round trip per Redis. Raises RedisError."""
    found = {}
    for group in by_client(queues):
        calls = [Call(get_script("stats"), queue.keys, ()) for queue in group]
        replies = run_many(group[0].client, calls)
        for queue, reply in zip(group, replies, strict=True):
            found[queue.name] = Stats.of(reply)
    return dict(sorted(found.items()))


def oldest_waits(queues: Iterable[Queue]) -> dict[str, float]:
    """Return for how many seconds the next job of each queue has waited; 0 if none does.

    It is that of the list, or the first of those with a limit key.
    """
    found: dict[str, float] = {}
    for group in by_client(queues):
        places = [(queue, first) for queue in group for first in FIRST]
        heads = ask(group[0], [(v, f"{q.root}:{name}", at, at) for q, (v, name, at) in places])
        commands: list[Any] = [
            ("HMGET", f"{queue.root}:job:".encode() + (b"".join(head or ())), *TIMES)
            for (queue, _), head in zip(places, heads, strict=True)
        ]
        *jobs, clock = ask(group[0], [*commands, ("TIME",)])
        now = milliseconds(clock)
        for (queue, _), job in zip(places, jobs, strict=True):
            since = number(job[0]) or number(job[1]) if job else 0
            wait = max(0.0, (now - since) / 1000) if since else 0.0
            found[queue.name] = max(wait, found.get(queue.name, 0.0))
    return found


def failed_since(queues: Iterable[Queue], since: float) -> dict[str, int]:
    """Return how many jobs of each queue failed since (ms) and are still failed."""
    found = {}
    for group in by_client(queues):
        commands = [("ZCOUNT", f"{queue.root}:failed", repr(since), "+inf") for queue in group]
        for queue, count in zip(group, ask(group[0], commands), strict=True):
            found[queue.name] = count or 0
    return found


def server_time(queue: Queue) -> float:
    """Return the time by the clock of the queue's Redis, in ms."""
    return milliseconds(ask(queue, [("TIME",)])[0])


def milliseconds(clock: tuple[int, int]) -> float:
    """Return what TIME says, in ms."""
    return clock[0] * 1000 + clock[1] / 1000
