"""Tasks that wait for the commit go the way of the outbox."""

import pytest
from django.db import transaction
from redis import Redis

from django_jobs import get_queue
from django_jobs.outbox.models import OutboxJob
from tests.tasks import work


@pytest.mark.django_db(transaction=True)
def test_a_task_is_a_row_until_the_commit(client: Redis) -> None:
    with transaction.atomic():
        result = work.echo.using(backend="commit").enqueue(1)
        (row,) = OutboxJob.objects.all()
        assert row.id.hex == result.id
        assert get_queue().stats().active == 0
    assert get_queue().job(result.id) is not None
    assert OutboxJob.objects.count() == 0
