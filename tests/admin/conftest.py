"""A queue that the project knows, and somebody who looks at the pages."""

import itertools
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from redis import Redis

from django_jobs.admin import live
from django_jobs.connection import get_queue
from django_jobs.monitor.history import Timeline
from django_jobs.queue import Queue
from tests.admin.pages import Web


@pytest.fixture
def queue(client: Redis) -> Queue:
    """The queue as the project knows it, with a push that makes it known."""
    return get_queue("email")


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a Redis of its own, and no memory of another's."""
    monkeypatch.setattr(live, "_timeline", Timeline())
    live._last.clear()


@pytest.fixture
def web(db: None) -> Web:
    """Return what logs in a staff user with permissions of ours."""
    names = (f"user{number}" for number in itertools.count())

    def login(*codenames: str, **flags: Any) -> Client:
        superuser = flags.get("superuser", False)
        user = User.objects.create(username=next(names), is_staff=True, is_superuser=superuser)
        found = Permission.objects.filter(
            content_type__app_label="django_jobs", codename__in=codenames
        )
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        web = Client()
        web.force_login(user)
        return web

    return login
