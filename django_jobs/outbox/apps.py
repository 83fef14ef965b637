"""Tells Django about the outbox."""

from django.apps import AppConfig
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _


class OutboxConfig(AppConfig):
    """Jobs that wait in the database until Redis has them."""

    name = "django_jobs.outbox"
    label = "django_jobs_outbox"
    verbose_name = _("Outbox of background jobs")

    def ready(self) -> None:
        """Take the pushes over; what does that imports models, so not before now."""
        import_string("django_jobs.outbox.seams.fill")()
