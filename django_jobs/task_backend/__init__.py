"""Django's tasks as jobs: `TASKS = {"default": {"BACKEND": "django_jobs.task_backend.JobsBackend"}}`.

On Django 5.2 the same for the tasks of the package django-tasks.
"""

import django

if django.VERSION >= (6, 0):
    from django_jobs.task_backend.native import JobsBackend, task
else:
    from django_jobs.task_backend.backport import JobsBackend, task

__all__ = ["JobsBackend", "task"]
