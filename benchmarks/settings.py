"""Django settings of the benchmarks: an ordinary small project."""

SECRET_KEY = "benchmarks"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_jobs",
    "benchmarks",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
JOBS = {"QUEUES": {name: {} for name in ("a", "b", "c", "d")}}
