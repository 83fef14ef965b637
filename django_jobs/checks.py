"""System checks: they read settings and the registry only, and never touch Redis."""

from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.management import get_commands
from redis.exceptions import RedisError

from django_jobs.conf import get_settings, problems
from django_jobs.connection import get_client
from django_jobs.exceptions import JobsError


def register_all() -> None:
    """Hand the checks to Django; the one that asks Redis is for `check --deploy`."""
    register(check_settings, "jobs")
    register(check_names, "jobs")
    register(check_redis, "jobs", deploy=True)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Name every key and value of JOBS that cannot be used."""
    raw = getattr(settings, "JOBS", {})
    found: list[CheckMessage] = [
        Error(f"JOBS: {problem}", id="django_jobs.E001") for problem in problems(raw)
    ]
    url = raw.get("URL", "") if isinstance(raw, dict) else ""
    if str(url).startswith("embedded:") and not settings.DEBUG:
        found.append(
            Warning(
                "JOBS['URL'] is embedded://, which is for development and tests.",
                hint="Run a Redis of your own and name it: redis://host:6379/0",
                id="django_jobs.W001",
            )
        )
    return found


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


def check_redis(**_: Any) -> list[CheckMessage]:
    """Ask Redis whether it answers, and whether it is set up to keep jobs."""
    if problems(getattr(settings, "JOBS", {})):
        return []
    url = get_settings().url("default")
    try:
        info = get_client(url).info("server", "persistence", "memory")
    except (RedisError, OSError, JobsError) as error:
        return [Error(f"Redis does not answer: {error}", id="django_jobs.E002")]
    return [*_old(info), *_forgetful(info)]


def _old(info: dict[str, Any]) -> list[CheckMessage]:
    valkey = str(info.get("valkey_version", ""))
    version = valkey or str(info.get("redis_version", "0"))
    least = (7, 2) if valkey else (7, 0)
    found = tuple(int(part) for part in version.split(".")[:2])
    if found >= least:
        return []
    text = f"This server is version {version}; Redis 7.0 or Valkey 7.2 is needed."
    return [Error(text, id="django_jobs.E003")]


def _forgetful(info: dict[str, Any]) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        found.append(
            Warning(
                f"Redis may delete jobs when it is full: maxmemory-policy is {policy}.",
                hint="CONFIG SET maxmemory-policy noeviction",
                id="django_jobs.W004",
            )
        )
    if not info.get("aof_enabled"):
        found.append(
            Warning(
                "Redis does not write each job to disk: jobs may be lost when it dies.",
                hint="CONFIG SET appendonly yes (and in redis.conf)",
                id="django_jobs.W005",
            )
        )
    return found
