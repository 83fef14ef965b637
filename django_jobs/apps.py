"""Tells Django about the app: finds the handlers, registers the checks."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from django_jobs import checks


class JobsConfig(AppConfig):
    """Background jobs."""

    name = "django_jobs"
    label = "django_jobs"
    verbose_name = _("Background jobs")

    def ready(self) -> None:
        """Register the checks, and import `jobs` of every installed app."""
        checks.register_all()
        autodiscover_modules("jobs")
