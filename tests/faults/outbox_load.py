"""What processes do that push and relay at random; Django is set up in them."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from django.db import transaction

from django_jobs import push_job, push_jobs
from django_jobs.job import new_id
from django_jobs.options import NewJob
from django_jobs.outbox import relay, rows
from tests.testapp.models import Note

NAP: Any = {"seconds": 0.01}
OFTEN: Any = {"max_attempts": 1000}  # a job's worker may be killed again and again


def note(*ids: str) -> None:
    """Write down which jobs the transaction is to have pushed."""
    Note.objects.bulk_create([Note(text=id) for id in ids])


def one() -> None:
    note(push_job("test.nap", NAP, **OFTEN))


def some() -> None:
    for options in ({}, {"delay": 0.2}, {"priority": 5}):
        note(push_job("test.nap", NAP, **OFTEN, **options))


def many() -> None:
    note(*push_jobs("test.nap", [NAP] * 5, **OFTEN))


def in_savepoints() -> None:
    with transaction.atomic():
        one()
    with transaction.atomic():
        some()
        transaction.set_rollback(True)
    one()


def undone() -> None:
    some()
    transaction.set_rollback(True)


KINDS: list[Callable[[], None]] = [one, some, many, in_savepoints, undone]


def produce(turns: str, total: int, seed: str) -> None:
    """Make transactions until all producers together have begun so many."""
    dice, file = Random(seed), Path(turns)
    while file.stat().st_size < total:
        with file.open("a") as out:
            out.write(".")
        with transaction.atomic():
            dice.choice(KINDS)()
        time.sleep(dice.uniform(0, 0.03))


def fill(count: int) -> None:
    """Leave rows for relays."""
    rows.save("default", "default", [NewJob(new_id(), "test.quick", "1") for _ in range(count)])


def relay_and_freeze() -> None:
    """Relay, and stop once, with rows in hand."""
    push_once = relay.push_once

    def freeze(*args: Any) -> Any:
        relay.push_once = push_once
        print("frozen", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        return push_once(*args)

    relay.push_once = freeze
    print(relay.relay_all())
