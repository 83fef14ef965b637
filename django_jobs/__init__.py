"""Background jobs on Redis for Django: never lost, never early, never ahead of the database."""

from django_jobs.batches import apush_batch, get_batch, push_batch
from django_jobs.connection import get_queue
from django_jobs.exceptions import (
    Empty,
    Fail,
    JobGone,
    JobsError,
    PayloadError,
    PushError,
    Retry,
    Snooze,
)
from django_jobs.handlers import handler
from django_jobs.job import Job
from django_jobs.push import apush_job, apush_jobs, push_job, push_jobs
from django_jobs.results import await_for, result_of, wait_for

__all__ = [
    "Empty",
    "Fail",
    "Job",
    "JobGone",
    "JobsError",
    "PayloadError",
    "PushError",
    "Retry",
    "Snooze",
    "apush_batch",
    "apush_job",
    "apush_jobs",
    "await_for",
    "get_batch",
    "get_queue",
    "handler",
    "push_batch",
    "push_job",
    "push_jobs",
    "result_of",
    "wait_for",
]
