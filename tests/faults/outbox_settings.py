"""The faults' settings with the outbox: on PostgreSQL if PGPORT says where, else on SQLite."""

import os

from tests.faults.settings import *  # noqa: F403
from tests.faults.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django_jobs.outbox"]
POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres"}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SQLITE", ":memory:")}
DATABASES = {"default": POSTGRES if os.environ.get("PGPORT") else SQLITE}
