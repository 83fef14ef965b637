"""Redises that stand in for each other. What takes long is marked `soak`, as in `tests/faults`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from django_jobs import keys
from django_jobs.connection import get_client
from django_jobs.queue import Queue
from tests.clusters.account import Account
from tests.clusters.topology import Cluster, Sentinels
from tests.faults.conftest import pytest_collection_modifyitems, pytest_configure
from tests.processes import Tree, trees

__all__ = ["pytest_collection_modifyitems", "pytest_configure"]

Work = Callable[..., Tree]


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    """A master that has a substitute."""
    sentinels = Sentinels(tmp_path / "sentinels")
    yield sentinels
    sentinels.end()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three masters, each with a substitute."""
    cluster = Cluster(tmp_path / "cluster")
    yield cluster
    cluster.end()


@pytest.fixture
def work(ledger: Path) -> Iterator[Work]:
    """Start trees of workers on a URL."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.faults.settings", "LEASE": "5"}
    with trees(ledger) as start:
        yield lambda url, *words: start(*words, REDIS_URL=url, **settings)


def account_of(url: str, ledger: Path, *names: str) -> Account:
    """Open the account of some queues."""
    in_cluster = "cluster" in url
    queues: dict[str, Any] = {}
    for name in names:
        client = get_client(url, keys.root("jobs", name, cluster=in_cluster))
        queues[name] = Queue(name, client, cluster=in_cluster)
    return Account(queues, ledger)
