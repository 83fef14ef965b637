"""The tests' settings with static files, languages and a strict policy."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.staticfiles"]
MIDDLEWARE = [
    "tests.browser.policy.strict",
    *MIDDLEWARE,
    "django.middleware.locale.LocaleMiddleware",
]

# Playwright keeps an event loop in the thread of the tests.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
