"""What all jobs of a task have in common, made ready once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django_jobs.handlers import HandlerOptions
from django_jobs.job import encode_payload
from django_jobs.options import JobOptions, NewJob, encoded_job
from django_jobs.queue import Queue
from django_jobs.task_backend.wire import encode, new_task_id


@dataclass(frozen=True, slots=True)
class Plan:
    """How a task is pushed; `changes`: in what it differs from the one at its path."""

    task: Any
    path: str
    changes: Mapping[str, Any]
    options: JobOptions
    max_attempts: int | None

    def job(self, queue: Queue, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewJob:
        """Return a job. Raises PayloadError (a TypeError) if the arguments are not JSON."""
        payload: dict[str, Any] = {"args": args, "kwargs": kwargs}
        if self.changes:
            payload = {"using": self.changes, **payload}
        text = encode_payload(
            payload, handler=self.path, queue=queue.name, limit=queue.max_payload, encode=encode
        )
        return encoded_job(
            new_task_id(queue.name),
            text,
            handler=self.path,
            queue=queue.name,
            max_attempts=self.max_attempts or queue.max_attempts,
            options=self.options,
        )


def job_options(task: Any) -> JobOptions:
    """Return what a task says itself of its pushes."""
    options = _said(task, "delay", "timeout", "unique")
    if task.priority:
        options["priority"] = int(task.priority)
    if task.run_after is not None:
        options["run_at"] = task.run_after
    return cast(JobOptions, options)


def handler_options(task: Any) -> HandlerOptions:
    """Return what a task says itself of its runs."""
    return cast(HandlerOptions, _said(task, "backoff", "retry_on", "timeout", "max_attempts"))


def _said(task: Any, *names: str) -> dict[str, Any]:
    """Return those of the options that a task has; Django's own tasks have none."""
    return {name: value for name in names if (value := getattr(task, name, None)) is not None}
