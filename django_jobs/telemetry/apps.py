"""Tells Django about telemetry."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from django_jobs import middleware, push
from django_jobs.signals import worker_stopped
from django_jobs.telemetry import spans


class TelemetryConfig(AppConfig):
    """Spans around pushes and runs."""

    name = "django_jobs.telemetry"
    label = "django_jobs_telemetry"
    verbose_name = _("Telemetry of background jobs")

    def ready(self) -> None:
        """Go around each push, around each run and its middleware, and flush at the end."""
        push.around = spans.pushing
        if spans.Running not in middleware.installed:
            middleware.installed.append(spans.Running)
        worker_stopped.connect(spans.flush)
