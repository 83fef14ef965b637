"""From settings and command-line words to a supervisor that runs."""

import difflib
import logging
import shutil
import signal
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import connections
from django.utils.module_loading import import_string
from redis.exceptions import RedisError, ResponseError

if sys.platform != "win32":
    import resource

from django_jobs import sidecars
from django_jobs.conf import Settings, get_settings, without_password
from django_jobs.connection import (
    adopter,
    declared_queues,
    get_queue,
    queue_names,
    redis_urls,
)
from django_jobs.exceptions import JobsError
from django_jobs.handlers import all_handlers
from django_jobs.outcome import Policy
from django_jobs.queue import Queue
from django_jobs.schedule import Schedule
from django_jobs.schedules import all_schedules, project
from django_jobs.scripts import Call
from django_jobs.supervisor import Supervisor
from django_jobs.vitals import Vitals
from django_jobs.worker_options import WorkerOptions

HEAVIEST = 1_000_000


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can mend into one line, without a traceback."""
    try:
        yield
    except (ValueError, OSError, JobsError, ImproperlyConfigured) as error:
        raise CommandError(str(error)) from error
    except ResponseError as error:
        raise CommandError(f"Redis refuses: {error}") from error
    except RedisError as error:
        raise CommandError(f"Redis does not answer: {error}") from error


@contextmanager
def quiet_stop() -> Iterator[None]:
    """End without a traceback at SIGTERM and Ctrl-C, until the supervisor listens for them."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(0)
    finally:
        signal.signal(signal.SIGTERM, before)


def read_whole(text: str, most: int) -> int:
    """Read a whole number from 1 on. Raises ValueError."""
    if text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most:
        return int(text)
    raise ValueError(f"{text!r} is not a whole number from 1 to {most:,}")


def parse_queues(text: str | None) -> tuple[list[str], dict[str, int]]:
    """Read `high,low` (strict order) or `email:5,default:1` (weights); None is all queues.

    Raises ValueError for what is neither.
    """
    if text is None:
        return [], {}
    names: list[str] = []
    weights: dict[str, int] = {}
    for part in text.split(","):
        name, colon, weight = (word.strip() for word in part.partition(":"))
        if not name:
            raise ValueError(
                f"--queues: a name is missing in {text!r}. Without --queues all queues are served."
            )
        if name in names:
            raise ValueError(f"--queues: {name!r} is named twice.")
        names.append(name)
        if colon:
            weights[name] = _weight(name, weight)
    if weights and len(weights) < len(names):
        raise ValueError("--queues: give a weight to each queue, or to none.")
    return names, weights


def _weight(name: str, text: str) -> int:
    try:
        return read_whole(text, HEAVIEST)
    except ValueError as error:
        raise ValueError(f"--queues: the weight of {name!r}: {error}.") from None


def check_max_memory(megabytes: int | None) -> None:
    """Raise ValueError if a worker takes more before its first job; it would never run one."""
    if megabytes is None:
        return
    if sys.platform != "linux":
        raise ValueError("--max-memory works on Linux only.")
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if megabytes <= taken:
        raise ValueError(
            f"--max-memory {megabytes}: a worker of this project takes {taken} MB before its"
            f" first job. Give it room, {2 * taken} for example."
        )


def redis_of(names: list[str]) -> str:
    """Return the URL of the Redis that these queues are on. Raises ValueError for several."""
    url, *others = redis_urls(names)
    if others:
        groups = [[name for name in names if redis_urls([name]) == [u]] for u in (url, *others)]
        lists = "; ".join(f"--queues {','.join(group)}" for group in groups)
        raise ValueError(f"These queues are on several Redises. Start a runjobs for each: {lists}")
    return url


def open_queues(names: list[str]) -> list[Queue]:
    """Return the queues to serve. Raises ValueError if they are on several Redises."""
    redis_of(names)
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
    metrics_port: int | None,
) -> Supervisor:
    """Return the supervisor for some queues; with `grow`, for those that appear later too.

    Raises ValueError or OSError if it cannot serve its metrics.
    """
    vitals = Vitals()
    metrics = [metrics_server(metrics_port, vitals)] if metrics_port else []
    return Supervisor(
        queues,
        get_queue,
        options,
        processes=processes,
        shutdown_timeout=shutdown_timeout,
        discover=all_queue_names if grow else None,
        before_fork=connections.close_all,
        introduce=partial(introduce, all_schedules()),
        sidecars=[*sidecars.installed, *metrics],
        vitals=vitals,
    )


def metrics_server(port: int, vitals: Vitals) -> sidecars.Function:
    """Return what serves metrics and probes beside the workers."""
    try:
        serve = import_string("django_jobs.prometheus.server.serve")
    except ImportError as error:
        raise ValueError(
            f"--metrics-port needs prometheus-client ({error}): install"
            " django-redis-jobs[prometheus]."
        ) from error
    socket.create_server(("", port)).close()  # what keeps the sidecar from it is said here, once
    return partial(serve, port, vitals)


def introduce(schedules: list[Schedule], queue: Queue, age: float) -> list[Call]:
    """Return what tells Redis what settings and code say of a queue."""
    mine = [schedule for schedule in schedules if schedule.queue == queue.name]
    limits = str(get_settings().limits(queue.name))
    return [queue.configure(age, limits, adopter(queue)), queue.define(project(), age, mine)]


def worker_settings() -> dict[str, Any]:
    """Return what JOBS says about running jobs, as fields of WorkerOptions."""
    settings = get_settings()
    return {
        "lease": settings.LEASE,
        "unknown_wait": settings.UNKNOWN_HANDLER_WAIT,
        "middleware": settings.MIDDLEWARE,
        "release": settings.RELEASE,
        "policy": _policy("", settings),
        "policies": {name: _policy(name, settings) for name in settings.QUEUES},
        "failed_ttl": settings.FAILED_TTL,
        "failed_ttls": {name: settings.of_queue(name, "FAILED_TTL") for name in settings.QUEUES},
    }


def _policy(queue: str, settings: Settings) -> Policy:
    return Policy(
        settings.of_queue(queue, "TIMEOUT"),
        settings.of_queue(queue, "BACKOFF"),
        settings.of_queue(queue, "RESULT_TTL"),
    )


def log_to_terminal() -> None:
    """Show what the package logs, from INFO on, if the project's LOGGING shows it nowhere."""
    logger = logging.getLogger("django_jobs")
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def banner(
    queues: list[Queue], weights: dict[str, int], *, grow: bool, processes: int, concurrency: int
) -> str:
    """Return what `runjobs` says at its start."""
    url = get_settings().url(queues[0].name)
    path = queues[0].client.connection_pool.connection_kwargs.get("path")
    where = f"a private one, {path}" if url.startswith("embedded:") else without_password(url)
    names = [
        f"{queue.name} (weight {weights[queue.name]})" if weights else queue.name
        for queue in queues
    ]
    order = [] if weights or len(queues) == 1 else ["in this order"]
    lines = {
        "workers": f"{processes} x {concurrency} jobs at once",
        "Redis": where,
        "queues": ", ".join(names + (["and new ones as they appear"] if grow else order)),
        "modules": ", ".join(_modules()) or "none: no installed app has a jobs.py",
        "handlers": ", ".join(sorted(all_handlers()))
        or "none: decorate functions in jobs.py of an installed app with @handler",
    }
    width = max(40, shutil.get_terminal_size().columns - 1)
    return "\n".join(
        textwrap.fill(
            text,
            width,
            initial_indent=f"{name:<10}",
            subsequent_indent=" " * 10,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in lines.items()
    )


def _modules() -> list[str]:
    """Return the modules `jobs` that were found in apps, and what else defines handlers."""
    names = {f"{app.name}.jobs" for app in apps.get_app_configs()} & set(sys.modules)
    return sorted(names | {handler.source[0] for handler in all_handlers().values()})


def unknown_queues(names: list[str]) -> list[str]:
    """Say which of the names given to --queues nobody has used yet, with the nearest."""
    known = set(all_queue_names())
    found = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            found.append(f"No setting, handler or push has named the queue {name!r} so far.{hint}")
    return found
