"""Puts the outbox where django_jobs has left room for it."""

from django.core.checks import Tags, register

from django_jobs import middleware, push, sidecars
from django_jobs.outbox import once, relay
from django_jobs.outbox.carrier import OutboxCarrier
from django_jobs.outbox.checks import check_tables


def fill() -> None:
    """Carry pushes by way of the database, relay what is left, run atomic handlers once."""
    push.carrier = OutboxCarrier()
    middleware.run_once = once.run_once
    if relay.live not in sidecars.installed:
        sidecars.installed.append(relay.live)
    register(check_tables, Tags.database)
