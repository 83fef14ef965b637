"""The only place where settings meet Redis: clients, queues, and which there are."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from redis import Redis
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import SSLConnection as AsyncSSLConnection
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from django_jobs import address, embedded, keys, routes
from django_jobs.conf import get_settings
from django_jobs.handlers import all_handlers
from django_jobs.line import hang_up
from django_jobs.queue import Queue

# With one retry a web request sees an error within 2 s.
TIMEOUT = 0.8
OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "decode_responses": False,
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
}
RETRIES: dict[str, Any] = {
    "retry": Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.1), 1),
    "retry_on_error": [RedisConnectionError, RedisTimeoutError],
    "max_connections": 1000,
}

_asked_for: dict[tuple[str, int], None] = {}  # URLs, without embedded ones, and slots


def get_queue(name: str = "default") -> Queue:
    """Return a queue of this project. Raises ValueError for a name no queue can have."""
    return _queue(name, get_settings().PREFIX)


def get_client(url: str, key: str = "") -> Redis:
    """Return this process' client of one Redis; it connects at first use.

    In a cluster it is that of the node that has a key, or else the key of all queues' names.
    """
    found = _resolve(url)
    slot = routes.slot_of(key or keys.queues(get_settings().PREFIX)) if _is_cluster(url) else 0
    _asked_for[found, slot] = None
    return _client_of(found, slot)


def all_clients() -> list[Redis]:
    """Return a client of each Redis that this process has asked for, whatever settings say now."""
    return [_client_of(*one) for one in _asked_for]


def _client_of(url: str, slot: int) -> Redis:
    if _is_cluster(url):
        return _client_of_slot(url, slot)
    return _client_of_master(url) if url.startswith(address.SENTINEL) else _client(url)


def _is_cluster(url: str) -> bool:
    return url.startswith(address.CLUSTER)


def async_client(queue: str) -> AsyncRedis:
    """Return a client of a queue's Redis for the event loop that uses it, and closes it.

    It stays with the server that is the right one now. Raises RedisError.
    """
    url, options = _resolve(get_settings().url(queue)), {**OPTIONS, "socket_timeout": None}
    if url.startswith(address.ONE):
        return AsyncRedis.from_url(url, **options)
    options |= address.read_url(url).options
    if options.pop("connection_class", None):
        options["connection_class"] = AsyncSSLConnection
    host, port = get_queue(queue).client.connection_pool.connection_kwargs["route"].find()
    return AsyncRedis.from_pool(AsyncConnectionPool(host=host, port=port, **options))


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
    url, in_cluster = settings.url(name), _is_cluster(settings.url(name))
    return Queue(
        name,
        get_client(url, keys.root(prefix, name, cluster=in_cluster)),
        prefix=prefix,
        cluster=in_cluster,
        max_attempts=settings.of_queue(name, "MAX_ATTEMPTS"),
        max_payload=settings.MAX_PAYLOAD,
        lease=settings.LEASE,
        announce=lambda queue: announce(get_client(url), prefix, queue),
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
    return Redis.from_url(url, **OPTIONS, **RETRIES)


@cache
def _client_of_master(url: str) -> Redis:
    said = address.read_url(url)
    return routes.open_client(said, routes.MasterRoute(said, TIMEOUT), **OPTIONS, **RETRIES)


@cache
def _client_of_slot(url: str, slot: int) -> Redis:
    cluster = _cluster(url)
    return routes.open_client(cluster.address, cluster.route(slot), **OPTIONS, **RETRIES)


@cache
def _cluster(url: str) -> routes.Cluster:
    return routes.Cluster(address.read_url(url), TIMEOUT)


def _resolve(url: str) -> str:
    if not url.startswith("embedded:"):
        return url
    project = getattr(django_settings, "BASE_DIR", None) or Path.cwd()
    return embedded.start(str(project))


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "JOBS":
        hang_up()
        for known in (_queue, _client, _client_of_master, _client_of_slot, _cluster):
            known.cache_clear()


setting_changed.connect(_forget)
