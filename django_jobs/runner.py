"""From settings and command-line words to a supervisor that runs."""

from typing import Any

from django.db import connections
from redis.exceptions import RedisError

from django_jobs.conf import get_settings
from django_jobs.connection import declared_queues, get_queue, queue_names
from django_jobs.handlers import all_handlers
from django_jobs.outcome import Policy
from django_jobs.queue import Queue
from django_jobs.supervisor import Supervisor
from django_jobs.worker_options import WorkerOptions


def parse_queues(text: str | None) -> tuple[list[str], dict[str, int]]:
    """Read `high,low` (strict order) or `email:5,default:1` (weights).

    Raises ValueError for what is neither.
    """
    names: list[str] = []
    weights: dict[str, int] = {}
    for part in filter(None, (text or "").replace(" ", "").split(",")):
        name, colon, weight = part.partition(":")
        names.append(name)
        if colon:
            if not weight.isdigit() or int(weight) < 1:
                raise ValueError(f"--queues: {part!r} needs a whole number from 1 on.")
            weights[name] = int(weight)
    if weights and len(weights) < len(names):
        raise ValueError("--queues: give a weight to each queue, or to none.")
    return names, weights


def open_queues(names: list[str]) -> list[Queue]:
    """Return the queues to serve. Raises ValueError if they are on several Redises."""
    settings = get_settings()
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(settings.url(name), []).append(name)
    if len(groups) > 1:
        lists = "; ".join(f"--queues {','.join(group)}" for group in groups.values())
        raise ValueError(f"These queues are on several Redises. Start a runjobs for each: {lists}")
    return [get_queue(name) for name in names]


def all_queue_names() -> list[str]:
    """Return the queues that `runjobs` serves unasked; without Redis, those declared."""
    try:
        return queue_names()
    except (RedisError, OSError):
        return sorted(declared_queues())


def make_supervisor(
    options: WorkerOptions,
    queues: list[Queue],
    *,
    grow: bool,
    processes: int,
    shutdown_timeout: float,
) -> Supervisor:
    """Return the supervisor for some queues; with `grow`, for those that appear later too."""
    return Supervisor(
        queues,
        get_queue,
        options,
        processes=processes,
        shutdown_timeout=shutdown_timeout,
        discover=all_queue_names if grow else None,
        before_fork=connections.close_all,
    )


def worker_settings() -> dict[str, Any]:
    """Return what JOBS says about running jobs, as fields of WorkerOptions."""
    settings = get_settings()
    return {
        "lease": settings.LEASE,
        "unknown_wait": settings.UNKNOWN_HANDLER_WAIT,
        "policy": Policy(settings.TIMEOUT, settings.BACKOFF),
        "policies": {
            name: Policy(settings.of_queue(name, "TIMEOUT"), settings.of_queue(name, "BACKOFF"))
            for name in settings.QUEUES
        },
        "failed_ttl": settings.FAILED_TTL,
        "failed_ttls": {name: settings.of_queue(name, "FAILED_TTL") for name in settings.QUEUES},
    }


def banner(queues: list[Queue], *, grow: bool, processes: int, concurrency: int) -> str:
    """Return what `runjobs` says at its start."""
    handlers = all_handlers()
    modules = sorted({handler.source[0] for handler in handlers.values()})
    kwargs = queues[0].client.connection_pool.connection_kwargs
    where = kwargs.get("path") or f"{kwargs.get('host')}:{kwargs.get('port')}"
    lines = [
        f"django_jobs: {processes} worker(s) x {concurrency} at once on Redis {where}",
        f"  queues    {', '.join(queue.name for queue in queues)}"
        + (" (and new ones as they appear)" if grow else ""),
        f"  modules   {', '.join(modules) or 'no jobs.py found in any installed app'}",
        f"  handlers  {', '.join(sorted(handlers)) or 'none: jobs will wait for a worker that has them'}",
    ]
    return "\n".join(lines)
