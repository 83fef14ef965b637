"""Django settings of the tests."""

import os
import tempfile
from pathlib import Path

SECRET_KEY = "tests"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_jobs",
    "tests.testapp",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
BACKEND = os.environ.get("TEST_DATABASE", "sqlite3")  # or postgresql: conftest.py starts one
SQLITE = BACKEND == "sqlite3"
FOLDER = Path(tempfile.gettempdir())
DATABASES = {
    alias: {
        "ENGINE": f"django.db.backends.{BACKEND}",
        "NAME": FOLDER / f"django_jobs_{alias}.sqlite3" if SQLITE else alias,
        # Processes share a PostgreSQL, and each has test databases of its own.
        "TEST": {"NAME": None if SQLITE else f"{alias}_{os.getpid()}", "MIRROR": mirror},
    }
    for alias, mirror in {"default": None, "other": None, "third": "other"}.items()
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
JOBS: dict[str, object] = {"LEASE": 3}
BACKEND_OF_TASKS = "django_jobs.task_backend.JobsBackend"
TASKS: dict[str, dict[str, object]] = {
    "default": {"BACKEND": BACKEND_OF_TASKS, "QUEUES": []},
    "commit": {
        "BACKEND": BACKEND_OF_TASKS,
        "QUEUES": ["default"],
        "OPTIONS": {"ENQUEUE_ON_COMMIT": True},
    },
    "off": {"BACKEND": BACKEND_OF_TASKS, "OPTIONS": {"RESULT_TTL": 0}},
    "again": {
        "BACKEND": BACKEND_OF_TASKS,
        "OPTIONS": {"RETRY_ON": ["builtins.ValueError"], "MAX_ATTEMPTS": 2, "BACKOFF": 0},
    },
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django_jobs": {"handlers": ["console"], "level": "INFO"}},
}
