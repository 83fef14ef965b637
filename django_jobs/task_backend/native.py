"""The backend for `django.tasks` (Django 6.0 and newer)."""

from dataclasses import dataclass
from typing import Any

from django import tasks
from django.tasks import base, exceptions, signals
from django.tasks.backends.base import BaseTaskBackend

from django_jobs.task_backend.engine import Engine
from django_jobs.task_backend.framework import Framework
from django_jobs.task_backend.options import TaskOptions, with_options
from django_jobs.task_backend.resolving import Resolver

FRAMEWORK = Framework(
    base,
    signals,
    tasks.task_backends,
    invalid=exceptions.InvalidTask,
    missing=exceptions.TaskResultDoesNotExist,
)

task = with_options(tasks.task)
Resolver(FRAMEWORK)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsTask(TaskOptions, base.Task):
    """A task of this backend."""


class JobsBackend(Engine, BaseTaskBackend):
    """Tasks of Django as jobs."""

    framework = FRAMEWORK
    task_class = JobsTask

    def validate_task(self, task: Any) -> None:
        """Raise InvalidTask for a task that cannot be run."""
        super().validate_task(task)
        self.check_task(task)
