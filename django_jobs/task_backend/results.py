"""What is known of a task, as a TaskResult: from its job in Redis, or from the run under way."""

import builtins
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from django_jobs.job import Claimed, decode_payload
from django_jobs.outcome import Outcome
from django_jobs.record import Attempt, JobRecord
from django_jobs.task_backend.framework import Framework
from django_jobs.task_backend.wire import UUID, changed, decode, made_at, read_call

STATUS = {
    "active": "READY",
    "scheduled": "READY",
    "processing": "RUNNING",
    "succeeded": "SUCCESSFUL",
    "failed": "FAILED",
}


def of_push(
    framework: Framework, task: Any, id: str, payload: Any, enqueued_at: datetime | None
) -> Any:
    """Return the result of a task of which no more is known than its push."""
    return framework.base.TaskResult(
        task=task,
        id=id,
        status=framework.base.TaskResultStatus.READY,
        enqueued_at=moment(enqueued_at),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=payload["args"],
        kwargs=payload["kwargs"],
        backend=task.backend,
        errors=[],
        worker_ids=[],
    )


def of_record(framework: Framework, record: JobRecord) -> Any:
    """Return what Redis knows. Raises ImportError if the job is no task that this code has."""
    payload = decode_payload(record.payload)
    task = changed(framework.task_at(record.handler), read_call(payload)[2])
    starts = [error.began_at for error in record.errors if error.began_at]
    starts += [record.started_at] if record.started_at else []
    return _set(
        of_push(framework, task, record.id, payload, enqueued(record.id, record.enqueued_at)),
        status=framework.base.TaskResultStatus(STATUS[record.state]),
        started_at=moment(starts[0] if starts else None),
        last_attempted_at=moment(starts[-1] if starts else None),
        finished_at=moment(record.finished_at or record.failed_at),
        errors=[_error(framework, error) for error in record.errors],
        worker_ids=_workers(record),
        _return_value=decode(record.result.decode()) if record.result else None,
    )


def of_run(framework: Framework, task: Any, claimed: Claimed, payload: Any) -> Any:
    """Return what the worker knows of an attempt that begins."""
    task = changed(task, read_call(payload)[2])
    pushed_at, now = datetime.fromtimestamp(claimed.enqueued_ms / 1000, UTC), timezone.now()
    return _set(
        of_push(framework, task, claimed.id, payload, enqueued(claimed.id, pushed_at)),
        status=framework.base.TaskResultStatus.RUNNING,
        started_at=now,
        last_attempted_at=now,
        worker_ids=[*[""] * (claimed.attempt - 1), claimed.worker],
    )


def of_outcome(
    framework: Framework, task: Any, claimed: Claimed, payload: Any, outcome: Outcome
) -> Any:
    """Return what the worker knows of a task whose run has ended."""
    statuses, why, now = framework.base.TaskResultStatus, outcome.failure, timezone.now()
    result = of_run(framework, task, claimed, payload)
    started = now - timedelta(seconds=claimed.took)
    facts = {"started_at": started, "last_attempted_at": started, "finished_at": now}
    if why is None:
        value = decode(outcome.result) if outcome.result else None
        return _set(result, status=statuses.SUCCESSFUL, _return_value=value, **facts)
    error = Attempt(claimed.token, why.exception, why.message, None, "", why.traceback)
    return _set(result, status=statuses.FAILED, errors=[_error(framework, error)], **facts)


def _set(result: Any, **facts: Any) -> Any:
    """Change a result that is frozen, as Django does itself."""
    for name, value in facts.items():
        object.__setattr__(result, name, value)
    return result


def enqueued(id: str, pushed_at: datetime | None) -> datetime | None:
    """Return when a task was enqueued: when its id was made, unless that clock is ahead of Redis'."""
    if not UUID.match(id) or pushed_at is None:
        return pushed_at
    return min(made_at(id), pushed_at)


def moment(at: datetime | None) -> datetime | None:
    """Return a time as Django's own would be: naive without USE_TZ."""
    return at if at is None or settings.USE_TZ else timezone.make_naive(at)


def _error(framework: Framework, error: Attempt) -> Any:
    path = error.exception
    if path == "Stopped":  # an operator's word
        path = "django_jobs.exceptions.JobStopped"
    elif hasattr(builtins, path):
        path = f"builtins.{path}"
    text = error.traceback or f"{error.exception}: {error.message}\n"
    return framework.base.TaskError(exception_class_path=path, traceback=text)


def _workers(record: JobRecord) -> list[str]:
    """Return who ran each attempt; "" for those between, of which Redis keeps no record."""
    found = [error.worker for error in record.errors if error.began_at]
    if record.state in ("processing", "succeeded"):
        found.append(record.worker)
    found[1:1] = [""] * (record.attempts - len(found))
    return found
