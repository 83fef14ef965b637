"""Takes to Redis what the commits left in the outbox. Any number of relays may run."""

import logging
import random
import time
from contextlib import nullcontext

import django.db
from django.db import connections, transaction
from redis.exceptions import RedisError

from django_jobs.connection import get_queue
from django_jobs.options import NewJob
from django_jobs.outbox import once, rows
from django_jobs.outbox.delivery import forget_soon, push_once
from django_jobs.queue import Queue

log = logging.getLogger("django_jobs")

EVERY = 1.0  # seconds between two looks
YOUNG = 2.0  # seconds for which a row is left to its commit
BATCH = 1000
TRIM_EVERY = 3600.0


class Relay:
    """Relays one database's outbox, and keeps in mind what it cannot."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._refused: set[str] = set()  # ids of rows that this code cannot read
        self.problem = ""  # what the last look met with
        self._told = ""
        self._trim_at = 0.0

    def relay(self, age: float = 0.0) -> int:
        """Push what has waited for `age` seconds, oldest first; return how many were moved.

        What Redis does not take stays. Raises django.db.Error.
        """
        away: set[str] = set()
        self.problem = ""
        moved, more = 0, True
        while more:
            count, more = self._step(away, age)
            moved += count
        return moved

    def turn(self) -> None:
        """Do what is to be done now; say once what keeps it from that."""
        try:
            if rows.has_table(connections[self.alias]):
                self.relay(YOUNG)
                self._trim()
        except (django.db.Error, RedisError, OSError) as error:
            self.problem = str(error)
        self._say()
        connections[self.alias].close_if_unusable_or_obsolete()

    def _step(self, away: set[str], age: float) -> tuple[int, bool]:
        """Move one batch; return how many, and whether to look for more."""
        with transaction.atomic(self.alias) if rows.locks(self.alias) else nullcontext():
            seen_at = time.time()
            found = rows.oldest(self.alias, BATCH, age=age, away=away, refused=self._refused)
            jobs = self._read(found)
            failed = push_once(jobs, seen_at)
            sent = {queue: own for queue, own in jobs.items() if queue not in failed}
            ids = [job.id for own in sent.values() for job in own]
            rows.delete(self.alias, ids)
        forget_soon(sent)
        away.update(queue.name for queue in failed)
        if failed:
            self.problem = str(next(iter(failed.values())))
        return len(ids), bool(found)

    def _read(self, found: list[rows.Row]) -> dict[Queue, list[NewJob]]:
        jobs: dict[Queue, list[NewJob]] = {}
        for row in found:
            try:
                jobs.setdefault(get_queue(row.queue), []).append(row.job())
            except (TypeError, ValueError):
                self._refused.add(row.id)
                log.exception(
                    "Job %s in the outbox of database %s cannot be read by this code, and stays.",
                    *(row.id, self.alias),
                )
        return jobs

    def _trim(self) -> None:
        if time.monotonic() >= self._trim_at:
            self._trim_at = time.monotonic() + TRIM_EVERY
            once.trim(self.alias)

    def _say(self) -> None:
        """Log a problem that is new, and its end."""
        if self.problem and not self._told:
            log.warning("The outbox of database %s waits: %s", self.alias, self.problem)
        elif self._told and not self.problem:
            log.warning("The outbox of database %s is relayed again.", self.alias)
        self._told = self.problem


def relay_all() -> int:
    """Push all that waits, in every database; return how many jobs. Raises django.db.Error."""
    return sum(Relay(alias).relay() for alias in rows.databases())


def live() -> None:
    """Relay every database's outbox, for ever: a sidecar of the supervisor."""
    relays = [Relay(alias) for alias in rows.wanted()]
    while True:
        for relay in relays:
            relay.turn()
        time.sleep(EVERY * random.uniform(0.5, 1.5))
