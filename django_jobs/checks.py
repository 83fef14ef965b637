"""System checks: of the settings and the registry, and, when deploying, of Redis."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands
from django.utils.module_loading import import_string
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    RedisError,
    ResponseError,
)

from django_jobs.conf import get_settings, problems, without_password
from django_jobs.connection import (
    declared_queues,
    get_client,
    get_queue,
    queue_names,
    redis_urls,
)
from django_jobs.exceptions import JobsError, UnknownHandler
from django_jobs.handlers import all_handlers, get_handler
from django_jobs.monitor.batches import left_open
from django_jobs.schedules import schedule_problems

NO_ANSWER = "django_jobs.E002"
LISTPACK = 1024  # bytes


def register_all() -> None:
    """Hand the checks to Django; the one that asks Redis is for `check --deploy`."""
    register(check_settings, "jobs")
    register(check_schedules, "jobs")
    register(check_names, "jobs")
    register(check_handlers, "jobs")
    register(check_redis, "jobs", deploy=True)
    register(check_batches, "jobs", deploy=True)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Name every key and value of JOBS, and of the environment, that cannot be used."""
    found = problems(getattr(settings, "JOBS", {}))
    if found:
        return [Error(f"JOBS: {problem}", id="django_jobs.E001") for problem in found]
    try:
        urls = redis_urls(["default", *get_settings().QUEUES])
        for path in get_settings().MIDDLEWARE:
            import_string(path)
        for name in ["", *get_settings().QUEUES]:
            if (handler := get_settings().of_queue(name, "HANDLER")) is not None:
                get_handler(handler)
    except (ImproperlyConfigured, ImportError, UnknownHandler) as error:
        return [Error(str(error), id="django_jobs.E001")]
    wanted = settings.DEBUG or "django_jobs.testing" in sys.modules  # DEBUG is off in tests
    if wanted or not any(url.startswith("embedded:") for url in urls):
        return []
    return [
        Warning(
            "The Redis of JOBS is embedded://, which is for development and tests.",
            hint="Run a Redis of your own and name it: redis://host:6379/0",
            id="django_jobs.W001",
        )
    ]


def check_schedules(**_: Any) -> list[CheckMessage]:
    """Name every schedule that cannot be used."""
    if problems(getattr(settings, "JOBS", {})):
        return []
    return [Error(problem, id="django_jobs.E006") for problem in schedule_problems()]


def check_names(**_: Any) -> list[CheckMessage]:
    """Warn when another app hides `runjobs`, or a package `jobs` hides `jobs.py`."""
    found: list[CheckMessage] = []
    owner = get_commands().get("runjobs")
    if owner != "django_jobs":
        found.append(
            Warning(
                f"`manage.py runjobs` is the command of {owner}, not of django_jobs.",
                hint="Use `manage.py jobs run`, or put django_jobs before it in INSTALLED_APPS.",
                id="django_jobs.W002",
            )
        )
    for app in apps.get_app_configs():
        folder = Path(app.path)
        if (folder / "jobs.py").exists() and (folder / "jobs").is_dir():
            found.append(
                Warning(
                    f"{app.name} has both jobs.py and jobs/: Python imports only the latter.",
                    hint=f"Move the handlers of {app.name}/jobs.py into {app.name}/jobs/.",
                    id="django_jobs.W003",
                )
            )
    return found


def check_handlers(**_: Any) -> list[CheckMessage]:
    """Name the handlers that need an app which is not installed."""
    if apps.is_installed("django_jobs.outbox"):
        return []
    return [
        Error(
            f"Handler {handler.name!r} is atomic, which the outbox makes possible.",
            hint='INSTALLED_APPS += ["django_jobs.outbox"], and manage.py migrate',
            id="django_jobs.E007",
        )
        for handler in all_handlers().values()
        if handler.atomic
    ]


def check_redis(**_: Any) -> list[CheckMessage]:
    """Look at each Redis that queues are on."""
    if any(message.is_serious() for message in check_settings()):
        return []
    return [message for url in redis_urls(sorted(declared_queues())) for message in look_at(url)]


def check_batches(**_: Any) -> list[CheckMessage]:
    """Name each batch whose push broke off; where Redis does not answer, check_redis says so."""
    if any(message.is_serious() for message in check_settings()):
        return []
    try:
        found = left_open(map(get_queue, queue_names()))
    except (RedisError, OSError, JobsError):
        return []
    return [
        Warning(
            f"Batch {batch.id} of queue {batch.queue} has been open since"
            f" {batch.created_at:%Y-%m-%d %H:%M} UTC: its push broke off after"
            f" {batch.waiting + batch.ended:,} jobs. They run; what was to follow does not.",
            hint="Push a new batch for what is missing, and end this one:"
            f" manage.py jobs batch {batch.queue}:{batch.id} --close",
            id="django_jobs.W006",
        )
        for batches in found.values()
        for batch in batches
    ]


def look_at(url: str) -> list[CheckMessage]:
    """Ask a Redis whether it answers, and whether it is set up to keep jobs."""
    where = without_password(url)
    try:
        info: dict[str, Any] = get_client(url).info()
    except (AuthenticationError, AuthorizationError, ResponseError) as error:
        return [Error(f"Redis at {where} refuses to work for us: {error}", id="django_jobs.E004")]
    except (RedisError, OSError) as error:
        return [Error(f"Redis at {where} does not answer: {error}", id=NO_ANSWER)]
    except JobsError as error:
        return [Error(str(error), id="django_jobs.E005")]
    if url.startswith("embedded:"):
        return []
    return [*_old(info, where), *_forgetful(info, where), *_wasteful(url, where)]


def _old(info: dict[str, Any], where: str) -> Iterator[CheckMessage]:
    valkey = str(info.get("valkey_version", ""))
    version = valkey or str(info.get("redis_version", "0"))
    least = (7, 2) if valkey else (7, 0)
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < least:
        yield Error(
            f"The server at {where} is version {version}; Redis 7.0 or Valkey 7.2 is needed.",
            id="django_jobs.E003",
        )


def _forgetful(info: dict[str, Any], where: str) -> Iterator[CheckMessage]:
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        yield Warning(
            f"Redis at {where} may delete jobs when it is full: maxmemory-policy is {policy}.",
            hint="CONFIG SET maxmemory-policy noeviction (and in redis.conf)",
            id="django_jobs.W004",
        )
    if not info.get("aof_enabled"):
        yield Warning(
            f"Redis at {where} does not write each job to disk: when it dies, jobs are lost.",
            hint="CONFIG SET appendonly yes (and in redis.conf)",
            id="django_jobs.W005",
        )


def _wasteful(url: str, where: str) -> Iterator[CheckMessage]:
    name = "hash-max-listpack-value"
    try:
        value = get_client(url).config_get(name)[name]
    except (RedisError, OSError, KeyError):
        return  # who may not read the configuration cannot change it either
    if int(value or LISTPACK) < LISTPACK:
        yield Info(
            f"At {where} a job with a payload of more than {value} bytes takes three times"
            " the memory it needs.",
            hint=f"CONFIG SET {name} {LISTPACK} (and in redis.conf)",
            id="django_jobs.I001",
        )
