"""Background jobs on Redis for Django: never lost, never early, never ahead of the database."""

from django_jobs.connection import get_queue
from django_jobs.exceptions import Empty, Fail, JobsError, PayloadError, PushError, Retry, Snooze
from django_jobs.handlers import handler
from django_jobs.job import Job
from django_jobs.push import apush_job, apush_jobs, push_job, push_jobs

__all__ = [
    "Empty",
    "Fail",
    "Job",
    "JobsError",
    "PayloadError",
    "PushError",
    "Retry",
    "Snooze",
    "apush_job",
    "apush_jobs",
    "get_queue",
    "handler",
    "push_job",
    "push_jobs",
]
