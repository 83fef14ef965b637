"""The admin's pages: queues, jobs, workers and schedules.

Nothing here touches Redis outside these pages; without Redis they answer 503, and the rest of
the admin is not affected. Each page extends `admin/base_site.html` only.
"""

from django.contrib import admin

from django_jobs.admin.jobs import JobRecordAdmin
from django_jobs.admin.queues import JobQueueAdmin
from django_jobs.admin.schedules import JobScheduleAdmin
from django_jobs.admin.workers import JobWorkerAdmin
from django_jobs.models import JobQueue, JobRecord, JobSchedule, JobWorker

__all__ = ["JobQueueAdmin", "JobRecordAdmin", "JobScheduleAdmin", "JobWorkerAdmin", "register"]

PAGES = {
    JobQueue: JobQueueAdmin,
    JobRecord: JobRecordAdmin,
    JobSchedule: JobScheduleAdmin,
    JobWorker: JobWorkerAdmin,
}


def register(site: admin.AdminSite = admin.site) -> None:
    """Add our pages to a site that does not have them; a project with its own site calls this."""
    for model, model_admin in PAGES.items():
        if not site.is_registered(model):
            site.register(model, model_admin)


register()
