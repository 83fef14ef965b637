"""Database connections between jobs: as around each request, but a healthy one stays open."""

import logging
import threading
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from django_jobs.caught import Caught

log = logging.getLogger("django_jobs")

_users: set[int] = set()  # threads that ever opened a connection; the others have none to close


def _note(**_: Any) -> None:
    _users.add(threading.get_ident())


connection_created.connect(_note)


def used_by(thread: int) -> bool:
    """Say whether a thread ever opened a connection."""
    return thread in _users


def tidy(*, idle: bool) -> None:
    """Close this thread's connections that are broken, left in a transaction, or too old.

    A healthy one stays for the next job even with CONN_MAX_AGE = 0 (to reconnect costs
    milliseconds), until the thread is idle.
    """
    if not used_by(threading.get_ident()):
        return
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        kept = connection.close_at is None or connection.settings_dict["CONN_MAX_AGE"] == 0
        if kept and not idle and not connection.errors_occurred and _settled(connection):
            continue
        with Caught() as caught:
            connection.close_if_unusable_or_obsolete()
        if caught.error is not None:  # the thread goes on, and its next query says what is wrong
            log.warning("Database %s could not be closed: %s", connection.alias, caught.error)


def _settled(connection: Any) -> bool:
    return not connection.in_atomic_block and (
        connection.autocommit == connection.settings_dict["AUTOCOMMIT"]
    )
