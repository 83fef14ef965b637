"""The two tables. Times are the database's own, and are compared nowhere else."""

from datetime import datetime
from uuid import UUID

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class OutboxJob(models.Model):
    """A job that was saved with a transaction, and that Redis may not have yet.

    There is no row once Redis has the job, so all of them are due. Ids sort in the order of
    their making: the primary key is the index that the relay reads by.
    """

    id: "models.UUIDField[str | UUID, UUID]" = models.UUIDField(primary_key=True)
    queue: "models.CharField[str, str]" = models.CharField(max_length=64)
    job: "models.TextField[str, str]" = models.TextField()  # a NewJob, as JSON
    created_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(db_default=Now())

    class Meta:
        app_label = "django_jobs_outbox"
        default_permissions = ()
        verbose_name = _("job in the outbox")
        verbose_name_plural = _("jobs in the outbox")

    def __str__(self) -> str:
        return self.id.hex


class CompletedJob(models.Model):
    """The mark of an atomic handler's run, committed with what the run did."""

    id: "models.CharField[str, str]" = models.CharField(primary_key=True, max_length=64)
    queue: "models.CharField[str, str]" = models.CharField(max_length=64)
    completed_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(
        db_default=Now(), db_index=True
    )

    class Meta:
        app_label = "django_jobs_outbox"
        default_permissions = ()
        verbose_name = _("completed job")
        verbose_name_plural = _("completed jobs")

    def __str__(self) -> str:
        return self.id
