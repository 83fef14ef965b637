"""Makes both tables."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """The first."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="OutboxJob",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("queue", models.CharField(max_length=64)),
                ("job", models.TextField()),
                ("created_at", models.DateTimeField(db_default=Now())),
            ],
            options={
                "default_permissions": (),
                "verbose_name": "job in the outbox",
                "verbose_name_plural": "jobs in the outbox",
            },
        ),
        migrations.CreateModel(
            name="CompletedJob",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("queue", models.CharField(max_length=64)),
                ("completed_at", models.DateTimeField(db_default=Now(), db_index=True)),
            ],
            options={
                "default_permissions": (),
                "verbose_name": "completed job",
                "verbose_name_plural": "completed jobs",
            },
        ),
    ]
