"""The Redis servers themselves: version, memory, what they do when it is full."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django_jobs.monitor.reading import by_client
from django_jobs.queue import Queue


@dataclass(frozen=True, slots=True)
class Server:
    """One Redis; sizes in bytes, `limit` 0 for none."""

    name: str
    version: str
    used: int
    limit: int
    policy: str


def all_servers(queues: Iterable[Queue]) -> list[Server]:
    """Return the servers that some queues are on. Raises RedisError."""
    found: dict[str, Server] = {}
    for group in by_client(queues):
        with group[0].client.pipeline(transaction=False) as pipeline:
            pipeline.info("server")
            pipeline.info("memory")
            server, memory = pipeline.execute()
        found[server["run_id"]] = _server({**server, **memory})
    return list(found.values())


def _server(facts: dict[str, Any]) -> Server:
    valkey = facts.get("valkey_version")
    return Server(
        name="Valkey" if valkey else "Redis",
        version=str(valkey or facts.get("redis_version", "")),
        used=int(facts.get("used_memory", 0)),
        limit=int(facts.get("maxmemory", 0)),
        policy=str(facts.get("maxmemory_policy", "")),
    )
