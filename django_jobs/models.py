"""Models without tables: they give the admin its pages, names, permissions and history.

What they stand for lives in Redis. There is no migrations package, on purpose: content types
and permissions are made by `migrate` all the same.
"""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class NoRows(models.Manager[Any]):
    """Finds nothing, so that nothing ever asks the database for a table that is not there."""

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return an empty query set."""
        return super().get_queryset().none()


class RedisModel(models.Model):
    """Base of all four; `id` says what is meant, as in `email:0192...`."""

    id: "models.CharField[str, str]" = models.CharField(primary_key=True, max_length=300)

    objects = NoRows()

    class Meta:
        abstract = True
        managed = False
        default_permissions = ()
        base_manager_name = "objects"

    def __str__(self) -> str:
        return str(self.pk)


class JobQueue(RedisModel):
    """A queue; its id is its name."""

    class Meta(RedisModel.Meta):
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        permissions = [
            ("view_queue", "Can view queues"),
            ("pause_queue", "Can pause and resume queues"),
            ("empty_queue", "Can delete all waiting jobs of a queue"),
        ]


class JobRecord(RedisModel):
    """A job in any state; its id is `queue:id`."""

    class Meta(RedisModel.Meta):
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        permissions = [
            ("view_job", "Can view jobs"),
            ("view_job_payload", "Can view payloads, exception messages and tracebacks"),
            ("retry_job", "Can retry failed jobs"),
            ("discard_job", "Can discard failed jobs"),
            ("cancel_job", "Can cancel jobs"),
            ("edit_job", "Can edit payloads"),
        ]


class JobWorker(RedisModel):
    """A worker."""

    class Meta(RedisModel.Meta):
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        permissions = [
            ("view_worker", "Can view workers"),
            ("stop_worker", "Can quiet and stop workers"),
        ]


class JobSchedule(RedisModel):
    """A schedule."""

    class Meta(RedisModel.Meta):
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        permissions = [
            ("view_schedule", "Can view schedules"),
            ("run_schedule", "Can run schedules now"),
            ("pause_schedule", "Can pause and resume schedules"),
        ]
