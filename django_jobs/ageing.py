"""For tests: lets time pass for what this process has in Redis, by moving it into the past."""

from collections.abc import Iterator
from typing import Any

from redis import Redis

from django_jobs.conf import get_settings
from django_jobs.connection import all_clients, get_queue, queue_names
from django_jobs.line import run
from django_jobs.queue import Queue
from django_jobs.schedule import Due
from django_jobs.schedules import all_schedules, project

BY_TIME = (b"scheduled", b"succeeded", b"schedules")  # the indexes whose scores are times
TIMES = ("enqueued_at", "due_at", "expires_at", "unknown_since", "paid_until", "schedules_at")


def let_pass(time: int) -> None:
    """Move everything `time` ms into the past, and push what schedules have missed by then."""
    queues = [get_queue(name) for name in queue_names()]
    for queue in queues:
        mine = [schedule for schedule in all_schedules() if schedule.queue == queue.name]
        run(queue.client, queue.define(project(), 0, mine))
        _fire(queue)  # now they say when they are due
    once = {key: client for client, key in own_keys()}  # two clients may be of one server
    for key, client in once.items():
        _age(client, key, time)
    for queue in queues:
        _fire(queue)


def own_keys() -> Iterator[tuple[Redis, bytes]]:
    """Yield every key under this process' prefix."""
    for client in all_clients():
        prefix = get_settings().PREFIX
        for key in set(client.scan_iter(f"{prefix}:*", count=1000)):  # some come twice
            yield client, key


def _age(client: Redis, key: bytes, time: int) -> None:
    redis: Any = client
    name = key.rpartition(b":")[2]
    if name in BY_TIME:
        for id in redis.zrange(key, 0, -1):
            redis.zincrby(key, -time, id)
    elif name == b"meta" or b":job:" in key:
        found = zip(TIMES, redis.hmget(key, TIMES), strict=True)
        if moved := {field: round(float(at)) - time for field, at in found if at}:
            redis.hset(key, mapping=moved)
    if (left := redis.pttl(key)) > 0:
        redis.pexpire(key, left - time)


def _fire(queue: Queue) -> None:
    """Push the job of each schedule that is due, as a worker does that claim tells of it."""
    redis: Any = queue.client
    seconds, microseconds = redis.time()
    now = seconds * 1000 + microseconds // 1000
    index = f"{queue.root}:schedules"
    found = redis.execute_command("ZRANGE", index, "-inf", now, "BYSCORE", "WITHSCORES")
    for name, due in zip(found[::2], found[1::2], strict=True):
        key = f"{queue.root}:schedule:".encode() + name
        fields = redis.hmget(key, "missed", "cron", "every", "timezone")
        run(queue.client, queue.fire(Due.of(queue.name, [0, name, due, *fields]), now))
