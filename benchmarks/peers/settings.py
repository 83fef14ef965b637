"""Django settings of the contestants that need some, and of pushes around a commit."""

import os

SECRET_KEY = "peers"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = os.environ["PEER_APPS"].split()
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["PEER_DATABASE"]}
}
JOBS = {"LEASE": 5 if os.environ["PEER_SAFE"] else 15}
Q_CLUSTER = {
    "name": "peers",
    "redis": os.environ["REDIS_URL"],
    "workers": int(os.environ.get("PEER_WORKERS", "4")),
    "recycle": 1_000_000,
    "timeout": 30,
    "retry": 60,
    "save_limit": -1,
    "scheduler": False,
    "log_level": "WARNING",
}
