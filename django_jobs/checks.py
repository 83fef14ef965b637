"""System checks: they read settings and the registry only, and never touch Redis."""

from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.management import get_commands

from django_jobs.conf import problems


@register("jobs")
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


@register("jobs")
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
