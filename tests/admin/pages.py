"""Where the pages are, and how jobs come onto them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_jobs.queue import Queue

QUEUES = "/admin/django_jobs/jobqueue/"
JOBS = "/admin/django_jobs/jobrecord/"
WORKERS = "/admin/django_jobs/jobworker/"
SCHEDULES = "/admin/django_jobs/jobschedule/"
Web = Callable[..., Client]


def fail(
    queue: Queue,
    payload: Any = None,
    message: str = "secret-message",
    *,
    handler: str = "mail",
    error: type[Exception] = ValueError,
    **options: Any,
) -> str:
    """Push a job and let it fail for good."""

    def work(job: object) -> None:
        raise error(message)

    id = queue.push(payload, handler, max_attempts=1, **options)
    with pytest.raises(error):
        queue.pull(work)
    return id


def page_of(queue: Queue, id: str, page: str = "change") -> str:
    """Return the address of a job's page."""
    return reverse(f"admin:django_jobs_jobrecord_{page}", args=[f"{queue.name}:{id}"])


def state(queue: Queue, id: str) -> str:
    """Return where a job is."""
    record = queue.job(id)
    return record.state if record else "gone"


def text(web: Client, url: str) -> str:
    """Return a page that has to be there."""
    answer = web.get(url)
    assert answer.status_code == 200, answer
    return answer.content.decode()
