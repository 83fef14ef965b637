"""What `push_job` does with the outbox: rows first, Redis at the commit, the relay for the rest."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from django_jobs.caught import Caught
from django_jobs.conf import get_settings
from django_jobs.exceptions import PushError
from django_jobs.options import NewJob
from django_jobs.outbox import rows
from django_jobs.outbox.delivery import Jobs, forget_soon, push_once
from django_jobs.outbox.models import OutboxJob
from django_jobs.push import Carrier, Commit, Push, last_push
from django_jobs.queue import Queue
from django_jobs.signals import job_push_delayed

log = logging.getLogger("django_jobs")

delayed: Counter[str] = Counter()  # jobs of each queue that this process left to the relay

_away: set[str] = set()  # queues that took nothing at the last try
_without: set[str] = set()  # databases that were said to have no table


class Together(Commit):
    """The pushes of one transaction, also those whose savepoint was rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.pushes: list[Saved] = []


class Saved(Push):
    """Jobs that have rows. As a hook it takes along what else its transaction has pushed."""

    commit: Together

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        queue: Queue,
        jobs: Sequence[NewJob],
        commit: Together,
    ) -> None:
        super().__init__(queue, jobs, commit)
        self._connection = connection
        self.savepoints = frozenset(connection.savepoint_ids)
        self._at = time.time()
        commit.pushes.append(self)

    def __call__(self) -> None:
        """Push the jobs; leave to the relay what could not be pushed."""
        if self.done:
            return
        alias = self._connection.alias
        with Caught() as caught:
            jobs: dict[Queue, list[NewJob]] = {}
            for push in self._survivors():
                jobs.setdefault(push.queue, []).extend(push.jobs)
            failed = push_once(jobs, self._at)
            sent = {queue: own for queue, own in jobs.items() if queue not in failed}
            rows.delete(alias, [job.id for own in sent.values() for job in own])
            forget_soon(sent)
            leave_to_relay(alias, jobs, failed)
        if caught.error is not None:
            log.warning("The outbox of database %s is left to the relay: %s", alias, caught.error)

    def _survivors(self) -> "list[Saved]":
        """Return what the commit has kept of its pushes.

        In a test, which never commits, other pushes keep waiting for their own hooks. A push
        whose savepoints are among those of this one was kept as this one was.
        """
        own = self._connection.in_atomic_block
        pushes = [self] if own else [push for push in self.commit.pushes if not push.done]
        for push in pushes:
            push.done = True
        if all(push.savepoints <= self.savepoints for push in pushes):
            return pushes
        kept = rows.existing(self._connection.alias, [push.jobs[0].id for push in pushes])
        return [push for push in pushes if push.jobs[0].id in kept]


class OutboxCarrier(Carrier):
    """Saves jobs in the database whose commit decides."""

    def on_commit(
        self, connection: BaseDatabaseWrapper, queue: Queue, jobs: Sequence[NewJob]
    ) -> None:
        """Save the jobs in this transaction, and push them if and when it commits."""
        doomed = connection.needs_rollback  # and takes no statement
        if doomed or not rows.has_table(connection):
            super().on_commit(connection, queue, jobs)
            if not doomed:
                _tell_without(connection.alias)
            return
        rows.save(connection.alias, queue.name, jobs)
        earlier = last_push(connection)
        commit = earlier.commit if isinstance(earlier, Saved) else Together()
        connection.on_commit(Saved(connection, queue, jobs, commit))

    def at_once(self, using: str | None, queue: Queue, jobs: Sequence[NewJob]) -> None:
        """Push the jobs now; save them if Redis takes none. Raises PushError without a table."""
        if not get_settings().OUTBOX_FALLBACK:
            super().at_once(using, queue, jobs)
            return
        failed = push_once({queue: jobs}, time.time())
        if not failed:
            forget_soon({queue: jobs})  # there are no rows
            _away.discard(queue.name)
            return
        alias = using or router.db_for_write(OutboxJob)
        if not rows.has_table(connections[alias]):
            raise failed[queue]
        rows.save(alias, queue.name, jobs)
        leave_to_relay(alias, {queue: jobs}, failed)


def leave_to_relay(alias: str, jobs: Jobs, failed: Mapping[Queue, PushError]) -> None:
    """Count and tell of jobs that stay in the outbox; log the first time that a queue is away."""
    names = {queue.name for queue in failed}
    if new := names - _away:
        log.warning(
            "%d job(s) stay in the outbox of database %s until Redis takes them (queue %s): %s",
            sum(len(jobs[queue]) for queue in failed),
            alias,
            ", ".join(sorted(new)),
            next(iter(failed.values())).__cause__,
        )
    _away.difference_update(queue.name for queue in jobs)
    _away.update(names)
    for queue, error in failed.items():
        delayed[queue.name] += len(jobs[queue])
        for job in jobs[queue]:
            said = {"id": job.id, "queue": queue.name, "handler": job.handler, "error": error}
            job_push_delayed.send_robust(job.handler, **said)


def _tell_without(alias: str) -> None:
    if alias not in _without:
        _without.add(alias)
        log.warning(
            "Database %s has no outbox, so jobs are pushed after its commits, and may be lost"
            " there. Run `manage.py migrate --database %s`.",
            *(alias, alias),
        )
