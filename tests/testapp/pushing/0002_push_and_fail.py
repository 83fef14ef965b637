"""Pushes a job, then fails."""

from typing import Any

from django.db import migrations

from django_jobs import push_job


def push(apps: Any, schema_editor: Any) -> None:
    """Push."""
    push_job("test.quick")


def fail(apps: Any, schema_editor: Any) -> None:
    """Raise."""
    raise RuntimeError("the second operation")


class Migration(migrations.Migration):
    """Fails behind the push."""

    dependencies = [("testapp", "0001_push")]
    operations = [migrations.RunPython(push), migrations.RunPython(fail)]
