"""Tells Django about the app: finds the handlers and tasks, registers the checks."""

from contextlib import suppress

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules, import_string
from django.utils.translation import gettext_lazy as _

from django_jobs import checks


class JobsConfig(AppConfig):
    """Background jobs."""

    name = "django_jobs"
    label = "django_jobs"
    verbose_name = _("Background jobs")

    def ready(self) -> None:
        """Register the checks; import `jobs` of every installed app, and what runs tasks."""
        checks.register_all()
        autodiscover_modules("jobs")
        for backend in getattr(settings, "TASKS", {}).values():
            with suppress(ImportError):  # Django names it where it is used
                import_string(backend["BACKEND"])
