"""`@handler(atomic=True)`: a run and the mark that it was, in one transaction."""

import logging
from datetime import timedelta
from typing import Any

from django.db import router, transaction
from django.db.models.functions import Now

from django_jobs import keys
from django_jobs.connection import get_queue
from django_jobs.handlers import Handler
from django_jobs.job import Job
from django_jobs.middleware import Run
from django_jobs.monitor.reading import ask
from django_jobs.outbox.models import CompletedJob

log = logging.getLogger("django_jobs")

KEPT = timedelta(days=1)
PAGE = 1000


def run_once(handler: Handler) -> Run:
    """Return the handler's function in a transaction that only one run of a job commits."""

    def run(job: Job) -> Any:
        alias = router.db_for_write(CompletedJob)
        with transaction.atomic(using=alias):
            completed = CompletedJob.objects.using(alias)
            _, first = completed.get_or_create(pk=job.id, defaults={"queue": job.queue})
            if first:
                return handler.function(job)
        log.warning("Job %s (%s) had run already; nothing is done.", job.id, job.handler)
        return None

    return run


def trim(alias: str) -> int:
    """Delete old marks of jobs that Redis has no more; return how many. Raises RedisError."""
    old = CompletedJob.objects.using(alias).filter(completed_at__lt=Now() - KEPT)
    pages = old.order_by("completed_at", "pk").values_list("pk", "queue")
    kept = deleted = 0
    while page := list(pages[kept : kept + PAGE]):
        gone = [id for id, queue in page if not _exists(queue, id)]
        CompletedJob.objects.using(alias).filter(pk__in=gone).delete()
        deleted += len(gone)
        kept += len(page) - len(gone)
    return deleted


def _exists(queue: str, id: str) -> bool:
    found = get_queue(queue)
    return bool(ask(found, [("EXISTS", keys.job(found.root, id))])[0])
