"""What the tests of the outbox look at."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from django_jobs.outbox import carrier
from django_jobs.outbox.models import OutboxJob
from django_jobs.signals import job_push_delayed
from tests.conftest import wait_until

Reads = Callable[[], int]


@pytest.fixture(autouse=True)
def forget_what_was_told() -> None:
    """Let each test hear everything, as a new process would."""
    carrier._away.clear()
    carrier._without.clear()
    carrier.delayed.clear()


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What `job_push_delayed` said."""
    heard: list[dict[str, Any]] = []

    def hear(**said: Any) -> None:
        heard.append(said)

    job_push_delayed.connect(hear)
    yield heard
    job_push_delayed.disconnect(hear)


@pytest.fixture
def round_trips(client: "Redis[bytes]") -> Reads:
    """Return what says how often somebody else has written to Redis since it was asked last."""
    last = -1

    def count() -> int:
        nonlocal last
        reads = int(client.info("stats")["total_reads_processed"])
        since, last = reads - last - 1, reads
        return since

    gc.collect()  # the end of a connection is read, too
    wait_until(lambda: count() == 0)
    return count


def ids_in_outbox(alias: str = "default") -> list[str]:
    """Return the ids of the rows, in the order of their push."""
    found = OutboxJob.objects.using(alias).order_by("pk").values_list("pk", flat=True)
    return [id.hex for id in found]
