"""Settings of a small project, as its users write them; test_testing.py runs its tests."""

import os

SECRET_KEY = "project"
USE_TZ = True
INSTALLED_APPS = ["django_jobs", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
JOBS = {
    "URL": os.environ.get("SHOP_REDIS", "embedded://"),
    "QUEUES": {"go": {"HANDLER": "shop.pay"}},
}
