"""The outbox in a database: which rows wait, how they are written, read and deleted."""

import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import timedelta

import django.db
from django.apps import apps
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, DurationField, ExpressionWrapper, F, Min
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.db.models.signals import post_migrate

from django_jobs.options import NewJob
from django_jobs.outbox.models import OutboxJob
from django_jobs.scanning import chunks

MANY = 10_000  # ids in one statement
TABLE = "django_jobs_outbox_outboxjob"
DEFAULTS = {field.name: field.default for field in fields(NewJob)}

# The ORM would cost as much again as the database.
INSERT = "INSERT INTO django_jobs_outbox_outboxjob (id, queue, job) VALUES "
ROW = "(%s, %s, %s)"
# What a crash of PostgreSQL forgets of this, the relay does again. So it waits for no disk.
DELETE = """
DELETE FROM django_jobs_outbox_outboxjob
WHERE id = ANY(%s::uuid[]) AND set_config('synchronous_commit', 'off', true) = 'off'
"""

_found: set[tuple[str, ...]] = set()  # databases that have the table


@dataclass(frozen=True, slots=True)
class Row:
    """A job that waits, and for how long it has waited."""

    id: str
    queue: str
    text: str
    waited: timedelta

    def job(self) -> NewJob:
        """Return the job to push now: a delay counts from the first push.

        Raises ValueError or TypeError if this code cannot read it.
        """
        job, passed = NewJob(**json.loads(self.text)), round(self.waited.total_seconds() * 1000)
        return replace(job, due=_sooner(job.due, passed), expires=_sooner(job.expires, passed))


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many jobs of a queue wait in a database, and the first of them for how many seconds."""

    database: str
    queue: str
    count: int
    seconds: float


def has_table(connection: BaseDatabaseWrapper) -> bool:
    """Say whether a database has the outbox's table; one that has it is not asked again."""
    key = _place(connection)
    if key not in _found and TABLE in connection.introspection.table_names():
        _found.add(key)
    return key in _found


def databases() -> list[str]:
    """Return the databases that have an outbox. Raises django.db.Error."""
    return [alias for alias in wanted() if has_table(connections[alias])]


def wanted() -> list[str]:
    """Return the databases that should have an outbox, as the routers say; each by one alias."""
    found: dict[tuple[str, ...], str] = {}
    for alias in connections:
        if router.allow_migrate_model(alias, OutboxJob):
            found.setdefault(_place(connections[alias]), alias)
    return list(found.values())


def save(alias: str, queue: str, jobs: Sequence[NewJob]) -> None:
    """Write a row for each job, in the transaction that is open, if one is."""
    with connections[alias].cursor() as cursor:
        for page in chunks(jobs, MANY):
            values = [value for job in page for value in (job.id, queue, _dump(job))]
            cursor.execute(INSERT + ", ".join([ROW] * len(page)), values)


def existing(alias: str, ids: Iterable[str]) -> set[str]:
    """Return those of the ids that have a row."""
    rows = OutboxJob.objects.using(alias).order_by()
    pages = chunks(ids, MANY)
    found = (rows.filter(pk__in=page).values_list("pk", flat=True) for page in pages)
    return {id.hex for page in found for id in page}


def delete(alias: str, ids: Sequence[str]) -> None:
    """Delete rows: one statement, if they are not very many."""
    connection = connections[alias]
    for page in chunks(ids, MANY):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(DELETE, [page])
        else:
            OutboxJob.objects.using(alias).filter(pk__in=page).delete()


def oldest(
    alias: str, limit: int, *, age: float, away: Collection[str], refused: Collection[str]
) -> list[Row]:
    """Return rows that have waited for `age` seconds, in the order of their push.

    Not those of queues that are away, nor those refused. Inside a transaction they are locked,
    and what others have locked is left out, where the database can do that.
    """
    rows = (
        OutboxJob.objects.using(alias)
        .filter(created_at__lte=Now() - timedelta(seconds=age))
        .exclude(queue__in=away)
        .exclude(pk__in=refused)
        .order_by("pk")
    )
    if locks(alias):
        rows = rows.select_for_update(skip_locked=True)
    found = rows.values_list("pk", "queue", "job", _passed(F("created_at")))[:limit]
    return [Row(id.hex, *values) for id, *values in found]


def locks(alias: str) -> bool:
    """Say whether a database can lock rows and leave out those that are locked."""
    return bool(connections[alias].features.has_select_for_update_skip_locked)


def waiting(alias: str) -> list[Waiting]:
    """Return what waits in one database, by queue."""
    rows = OutboxJob.objects.using(alias).order_by("queue").values_list("queue")
    found = rows.annotate(count=Count("pk"), waited=_passed(Min("created_at")))
    return [Waiting(alias, queue, n, waited.total_seconds()) for queue, n, waited in found]


def all_waiting() -> list[Waiting]:
    """Return what waits in all databases that answer; nothing without the outbox."""
    found: list[Waiting] = []
    for alias in wanted() if apps.is_installed("django_jobs.outbox") else []:
        with suppress(django.db.Error):
            found += waiting(alias) if has_table(connections[alias]) else []
    return found


def _place(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    return tuple(str(connection.settings_dict[name]) for name in ("HOST", "PORT", "NAME"))


def _passed(since: F | Min) -> Combinable:
    return ExpressionWrapper(Now() - since, output_field=DurationField())


def _dump(job: NewJob) -> str:
    """Return all that is not as by default, so that code with other defaults can read it."""
    values = {name: getattr(job, name) for name in DEFAULTS}
    return json.dumps({name: value for name, value in values.items() if value != DEFAULTS[name]})


def _sooner(moment: str, passed: int) -> str:
    """Return `+ms` with what has passed taken off; other moments as they are."""
    return f"+{int(moment) - passed}" if moment.startswith("+") else moment


def _forget(**_: object) -> None:
    """Look again for the tables: migrations make and drop them."""
    _found.clear()


post_migrate.connect(_forget)
