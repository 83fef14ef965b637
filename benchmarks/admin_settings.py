"""Django settings with the admin."""

from benchmarks import settings as plain

SECRET_KEY, USE_TZ = plain.SECRET_KEY, plain.USE_TZ
DATABASES, JOBS = plain.DATABASES, plain.JOBS
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.admin"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.messages",
    "django.contrib.sessions",
    *plain.INSTALLED_APPS,
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
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
STATIC_URL = "static/"
