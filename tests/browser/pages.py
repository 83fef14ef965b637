"""Every page and every look: a new page is one line of PAGES."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse

from django_jobs.connection import get_queue
from tests.browser.shop import HOSTILE, fail


def path(name: str, *args: str) -> str:
    """Return the path of one of our pages."""
    return reverse(f"admin:django_jobs_{name}", args=[quote(arg) for arg in args])


def job(queue: str) -> str:
    """Return the path of the newest failed job."""
    return path("jobrecord_change", f"{queue}:{next(get_queue(queue).failed()).id}")


def remove_schedules(page: str) -> str:
    """Return the path of a page that would show schedules, without any."""
    for schedule in get_queue("email").schedules():
        get_queue("email").remove_schedule(schedule.name)
    return page


def hostile(page: Callable[[], str]) -> str:
    """Return the path of a page that shows what somebody pushed to break it."""
    fail("x" * 64, HOSTILE, {HOSTILE: HOSTILE}, ValueError(HOSTILE))
    return page()


PAGES: dict[str, Callable[[], str]] = {
    "queues": lambda: path("jobqueue_changelist"),
    "queues-hostile": lambda: hostile(PAGES["queues"]),
    "queue": lambda: path("jobqueue_change", "billing"),
    "handlers": lambda: path("jobqueue_handlers"),
    "workers": lambda: path("jobworker_changelist"),
    "schedules": lambda: path("jobschedule_changelist"),
    "schedules-none": lambda: remove_schedules(path("jobschedule_changelist")),
    "schedule": lambda: path("jobschedule_change", "email:shop.expire_carts"),
    "failed": lambda: path("jobrecord_changelist"),
    "failed-hostile": lambda: hostile(PAGES["failed"]),
    "failed-none": lambda: path("jobrecord_changelist") + "?queue=quiet",
    "failed-of-one-error": lambda: path("jobrecord_changelist") + "?error=TimeoutError&time=day",
    "search": lambda: path("jobrecord_changelist") + "?q=order",
    "scheduled": lambda: path("jobrecord_changelist") + "?state=scheduled",
    "waiting": lambda: path("jobrecord_changelist") + "?state=waiting",
    "running": lambda: path("jobrecord_changelist") + "?state=running",
    "succeeded": lambda: path("jobrecord_changelist") + "?state=succeeded",
    "queue-hostile": lambda: hostile(lambda: path("jobqueue_change", "x" * 64)),
    "job-edit": lambda: job("billing").replace("/change/", "/edit/"),
    "job": lambda: job("billing"),
    "job-hostile": lambda: hostile(lambda: job("x" * 64)),
    "job-history": lambda: job("billing").replace("/change/", "/history/"),
}

WIDE = {"viewport": {"width": 1200, "height": 900}}
NARROW = {"viewport": {"width": 390, "height": 844}}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {**WIDE, "color_scheme": "light"},
    "dark": {**WIDE, "color_scheme": "dark"},
    "arabic": {**WIDE, "locale": "ar"},
    "narrow": {**NARROW, "color_scheme": "light"},
    "narrow-dark": {**NARROW, "color_scheme": "dark"},
    "narrow-arabic": {**NARROW, "locale": "ar"},
}
