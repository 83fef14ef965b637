"""Django settings with the outbox, on PostgreSQL."""

from benchmarks import settings as plain

SECRET_KEY, USE_TZ, JOBS = plain.SECRET_KEY, plain.USE_TZ, plain.JOBS
INSTALLED_APPS = [*plain.INSTALLED_APPS, "django_jobs.outbox"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres"}}
