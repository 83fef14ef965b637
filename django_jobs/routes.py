"""Ways to Redis: to a server, to the master that Sentinels name, to a cluster's node of a slot.

A client goes to one server at a time. Where that is, is asked for at each connect; a server
that is not the right one any more counts as a connection that was lost.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from django_jobs.address import Address, Host

T = TypeVar("T")
Slots = list[tuple[int, int, Host]]  # first, last, whose they are

SILENT = 1.0  # seconds
WAITS = (AskError, ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)


class Route(Protocol):
    """Where a connection has to go now."""

    def find(self) -> Host:
        """Return the server's host and port. Raises RedisError."""

    def moved(self, host: Host) -> None:
        """Learn that it is another one."""

    def lose(self) -> None:
        """Ask anew next time."""

    def silent(self, host: Host) -> None:
        """Ask anew next time: this one did not answer."""


def open_client(address: Address, route: Route, **options: Any) -> Redis:
    """Return a client that goes where a route leads."""
    settings = {**options, **address.options}
    secure = settings.pop("connection_class", Connection) is SSLConnection
    kind = RoutedSSLConnection if secure else RoutedConnection
    return Redis.from_pool(ConnectionPool(connection_class=kind, route=route, **settings))


def slot_of(key: str) -> int:
    """Return a key's slot in a cluster."""
    return int(key_slot(key.encode()))


class RoutedConnection(Connection):
    """Asks for the way at each connect; what another server has to answer is a lost connection."""

    def __init__(self, *, route: Route, **options: Any) -> None:
        self.route = route
        base: Any = super()
        base.__init__(**options)

    def connect_check_health(self, *args: Any, **options: Any) -> None:
        """Connect, unless that was done. Raises RedisError."""
        if self._sock is None:
            self.host, self.port = self.route.find()
        base: Any = super()
        try:
            base.connect_check_health(*args, **options)
        except TimedOut:
            self.route.silent((self.host, self.port))
            raise
        except Disconnected:
            self.route.lose()
            raise

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply. Raises RedisError."""
        try:
            return super().read_response(*args, **options)
        except MovedError as error:
            self.route.moved((error.host or self.host, error.port))
            raise self._lost(error) from error
        except WAITS as error:
            self.route.lose()
            raise self._lost(error) from error
        except (Disconnected, TimedOut):
            self.route.lose()
            raise

    def _lost(self, error: RedisError) -> Disconnected:
        this: Any = self
        this.disconnect()
        return Disconnected(
            f"another server has it, or will have ({type(error).__name__}: {error})"
        )


class RoutedSSLConnection(RoutedConnection, SSLConnection):
    """The same by TLS."""


class Guides:
    """Servers that know the way; the first that answers is asked."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._hosts = address.hosts
        self._silent: dict[Host, float] = {}  # until when (monotonic)
        self._options = {
            **address.asking,
            "protocol": 2,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "retry": Retry(NoBackoff(), 0),
        }

    def ask(self, read: Callable[[Redis], T]) -> T:
        """Return what one of them says. Raises RedisError."""
        error: Exception | None = None
        for host, port in sorted(self._hosts, key=self.is_silent):
            client = Redis.from_pool(ConnectionPool(host=host, port=port, **self._options))
            try:
                return read(client)
            except (RedisError, OSError) as raised:
                error = raised
                self.silent((host, port))
            finally:
                client.close()
        names = ", ".join(f"{host}:{port}" for host, port in self._hosts)
        raise Disconnected(f"None of {names} shows the way to Redis: {error}")

    def silent(self, host: Host) -> None:
        """Leave one alone for a moment, so that not everybody waits for it."""
        self._silent[host] = time.monotonic() + SILENT

    def is_silent(self, host: Host) -> bool:
        """Say whether it did not answer a moment ago."""
        return time.monotonic() < self._silent.get(host, 0.0)

    def turn(self) -> None:
        """Ask another one first next time: this one may be cut off, and not know it."""
        self._hosts = [*self._hosts[1:], *self._hosts[:1]]

    def learn(self, hosts: Sequence[Host]) -> None:
        """Ask these too: those that were named first may be gone one day."""
        self._hosts += [host for host in dict.fromkeys(hosts) if host not in self._hosts]


class MasterRoute:
    """The way to the master that Sentinels name."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._guides = Guides(address, timeout)
        self._service = address.service

    def find(self) -> Host:
        """Return where the master is. Raises RedisError."""
        return self._guides.ask(self._ask)

    def moved(self, host: Host) -> None:
        """Do nothing: Sentinels know better."""

    def lose(self) -> None:
        """Ask another Sentinel first next time."""
        self._guides.turn()

    def silent(self, host: Host) -> None:
        """Ask another Sentinel first next time."""
        self._guides.turn()

    def _ask(self, sentinel: Redis) -> Host:
        found: Any = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        if not found:
            raise Disconnected(f"No master is known by the name {self._service!r}.")
        return found[0].decode(), int(found[1])


class Cluster:
    """Which node has which slots, as far as is known."""

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self._guides = Guides(address, timeout)
        self._slots: Slots = []

    def route(self, slot: int) -> "SlotRoute":
        """Return the way to the node that has a slot."""
        return SlotRoute(self, slot)

    def find(self, slot: int) -> Host:
        """Return the node that has a slot. Raises RedisError."""
        self._slots = self._slots or self._guides.ask(self._ask)
        for first, last, host in self._slots:
            if first <= slot <= last:
                return self._answering(host)
        self.lose()
        raise Disconnected(f"No node of the cluster has slot {slot}.")

    def moved(self, slot: int, host: Host) -> None:
        """Learn that a slot has moved."""
        self._slots = [(slot, slot, host), *self._slots]

    def lose(self) -> None:
        """Forget who has what."""
        self._slots = []
        self._guides.turn()

    def silent(self, host: Host) -> None:
        """Let no other queue wait for a node that one has just waited for in vain."""
        self.lose()
        self._guides.silent(host)

    def _answering(self, host: Host) -> Host:
        if self._guides.is_silent(host):
            self.lose()
            raise Disconnected(f"{host[0]}:{host[1]} did not answer a moment ago.")
        return host

    def _ask(self, node: Redis) -> Slots:
        here = node.connection_pool.connection_kwargs["host"]
        rows: Any = node.execute_command("CLUSTER", "SLOTS")
        hosts = [
            (first, last, [((name or b"").decode() or here, port) for name, port, *_ in nodes])
            for first, last, *nodes in rows
        ]
        self._guides.learn([host for *_, nodes in hosts for host in nodes])
        return [(first, last, nodes[0]) for first, last, nodes in hosts]


class SlotRoute:
    """The way to the node that has a slot."""

    def __init__(self, cluster: Cluster, slot: int) -> None:
        self.find = partial(cluster.find, slot)
        self.moved = partial(cluster.moved, slot)
        self.lose = cluster.lose
        self.silent = cluster.silent
