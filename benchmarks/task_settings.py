"""Django settings with tasks, whose results are kept or not."""

import os

from benchmarks import settings as plain

SECRET_KEY, USE_TZ = plain.SECRET_KEY, plain.USE_TZ
DATABASES, JOBS, INSTALLED_APPS = plain.DATABASES, plain.JOBS, plain.INSTALLED_APPS
BACKEND = "django_jobs.task_backend.JobsBackend"
TASKS = {
    "default": {"BACKEND": BACKEND, "OPTIONS": {"RESULT_TTL": 0}},
    "kept": {"BACKEND": BACKEND},
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.tasks": {"level": os.environ.get("BENCH_LEVEL", "WARNING")}},
}
