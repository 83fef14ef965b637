"""Pushes a job for the rows it would have changed."""

from typing import Any

from django.db import migrations

from django_jobs import get_queue, push_job


def push(apps: Any, schema_editor: Any) -> None:
    """Push, and look that nothing is pushed yet."""
    push_job("test.quick")
    assert get_queue().stats().active == 0


class Migration(migrations.Migration):
    """Succeeds."""

    operations = [migrations.RunPython(push, migrations.RunPython.noop)]
