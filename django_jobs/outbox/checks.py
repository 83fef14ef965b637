"""The outbox's system check, of databases."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Warning
from django.db import connections

from django_jobs.outbox import rows


def check_tables(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn of databases without the table, unless they are as new as can be."""
    return [
        Warning(
            f"Database {alias!r} has no outbox: a job may be lost between commit and push.",
            hint=f"manage.py migrate --database {alias} django_jobs_outbox",
            id="django_jobs.W007",
        )
        for alias in rows.wanted()
        if alias in (databases or ()) and _is_missing(alias)
    ]


def _is_missing(alias: str) -> bool:
    tables = connections[alias].introspection.table_names()
    return rows.TABLE not in tables and "django_migrations" in tables
