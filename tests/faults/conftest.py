"""A site for each scenario. The long ones are marked `soak` and run by `pytest -m soak`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.faults.site import Server, Site
from tests.processes import trees


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: takes long; runs when it is asked for by -m")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `soak`, unless -m says what to run."""
    if config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    items[:] = [item for item in items if item not in long]
    config.hook.pytest_deselected(items=long)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis of the test's own, which writes down what it was told."""
    server = Server(tmp_path / "redis", "--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    yield server
    server.end()


@pytest.fixture
def site(server: Server, ledger: Path) -> Iterator[Site]:
    """A place for trees of workers, and for the account of their jobs."""
    with trees(ledger) as start:
        yield Site(server, start, ledger)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the server."""
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()
