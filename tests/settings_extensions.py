"""The settings of a project whose `runjobs` is that of django-extensions."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["django_extensions", *INSTALLED_APPS]  # noqa: F405
