"""The backend for the package django-tasks, which is `django.tasks` for Django 5.2."""

from dataclasses import dataclass
from typing import Any

import django_tasks
from django_tasks import base, exceptions, signals
from django_tasks.backends.base import BaseTaskBackend

from django_jobs.task_backend.engine import Engine
from django_jobs.task_backend.framework import Framework
from django_jobs.task_backend.options import TaskOptions, with_options
from django_jobs.task_backend.resolving import Resolver

FRAMEWORK = Framework(
    base,
    signals,
    django_tasks.task_backends,
    invalid=exceptions.InvalidTaskError,
    missing=exceptions.TaskResultDoesNotExist,
)

task = with_options(django_tasks.task)
Resolver(FRAMEWORK)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsTask(TaskOptions, base.Task):
    """A task of this backend."""


class JobsBackend(Engine, BaseTaskBackend):
    """Tasks of django-tasks as jobs."""

    framework = FRAMEWORK
    task_class = JobsTask

    def validate_task(self, task: Any) -> None:
        """Raise InvalidTask for a task that cannot be run."""
        super().validate_task(task)
        self.check_task(task)
