"""The pytest plugin, found by its entry point: the process gets a PREFIX of its own, and `jobs`."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from django_jobs import testing


@pytest.fixture
def jobs() -> Iterator[ModuleType]:
    """Give `django_jobs.testing` to a test that begins, and leaves, without jobs."""
    testing.delete_jobs()
    yield testing
    testing.delete_jobs()
