"""The only place where settings meet Redis: clients, queues, and which there are."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from django_jobs import embedded, keys
from django_jobs.conf import get_settings
from django_jobs.handlers import all_handlers
from django_jobs.line import hang_up
from django_jobs.queue import Queue

# With one retry a web request sees an error within 2 s.
TIMEOUT = 0.8

_asked_for: dict[str, None] = {}  # URLs, without embedded ones


def get_queue(name: str = "default") -> Queue:
    """Return a queue of this project. Raises ValueError for a name no queue can have."""
    return _queue(name, get_settings().PREFIX)


def get_client(url: str) -> Redis:
    """Return this process' client of one Redis; it connects at first use."""
    found = _resolve(url)
    _asked_for[found] = None
    return _client(found)


def all_clients() -> list[Redis]:
    """Return a client of each Redis that this process has asked for, whatever settings say now."""
    return [_client(url) for url in _asked_for]


def async_client(queue: str) -> AsyncRedis:
    """Return a client of a queue's Redis for the event loop that uses it, and closes it."""
    url = _resolve(get_settings().url(queue))
    return AsyncRedis.from_url(url, protocol=2, socket_connect_timeout=TIMEOUT, socket_timeout=None)


def redis_urls(queues: Iterable[str]) -> list[str]:
    """Return the URLs of the Redises that some queues are on."""
    return list(dict.fromkeys(get_settings().url(name) for name in queues))


def queue_names() -> list[str]:
    """Return every queue that settings, handlers or Redis know of. Raises RedisError."""
    names = declared_queues()
    for url in redis_urls(names):
        members: set[Any] = get_client(url).smembers(keys.queues(get_settings().PREFIX))
        names |= {member.decode("utf-8", "replace") for member in members}
    return sorted(name for name in names if keys.QUEUE_NAME.match(name))


def declared_queues() -> set[str]:
    """Return the queues that settings, schedules and handlers name, and `default`."""
    handlers = {handler.queue for handler in all_handlers().values()}
    schedules = {one["queue"] for one in get_settings().SCHEDULES.values() if "queue" in one}
    return {"default", *get_settings().QUEUES, *handlers, *schedules}


@cache
def _queue(name: str, prefix: str) -> Queue:
    settings = get_settings()
    client = get_client(settings.url(name))
    return Queue(
        name,
        client,
        prefix=prefix,
        max_attempts=settings.of_queue(name, "MAX_ATTEMPTS"),
        max_payload=settings.MAX_PAYLOAD,
        lease=settings.LEASE,
        announce=lambda queue: announce(client, prefix, queue),
    )


def adopter(queue: Queue) -> str:
    """Return the handler of what other programs push to a queue, and its attempts; "" for none."""
    name = get_settings().of_queue(queue.name, "HANDLER")
    if name is None:
        return ""
    handler = all_handlers().get(name)
    attempts = handler.max_attempts if handler else None
    return f"{name} {attempts or queue.max_attempts}"


def announce(client: Redis, prefix: str, queue: str) -> None:
    """Enter a queue into the set of all queues."""
    client.sadd(keys.queues(prefix), queue)


@cache
def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.1), 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        max_connections=1000,
    )


def _resolve(url: str) -> str:
    if not url.startswith("embedded:"):
        return url
    project = getattr(django_settings, "BASE_DIR", None) or Path.cwd()
    return embedded.start(str(project))


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "JOBS":
        hang_up()
        _queue.cache_clear()
        _client.cache_clear()


setting_changed.connect(_forget)
