"""Ways to Redis: to a server, to the master that Sentinels name, to a cluster's node of a slot.

A client goes to one server at a time. Where that is, is asked for at each connect; a server
that is not the right one any more counts as a connection that was lost.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, parse_url
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

T = TypeVar("T")
Host = tuple[str, int]
Slots = list[tuple[int, int, Host]]  # first, last, whose they are

ONE = ("redis://", "rediss://", "unix://")
SENTINEL = ("redis+sentinel://", "rediss+sentinel://")
CLUSTER = ("redis+cluster://", "rediss+cluster://")
WAITS = (AskError, ClusterDownError, MasterDownError, ReadOnlyError, TryAgainError)


class BadURL(ValueError):
    """What is wrong with a URL, in a sentence."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says: whom to ask for the way, and how to talk to Redis."""

    hosts: list[Host]
    service: str  # whose master Sentinels are asked for
    options: dict[str, Any]  # of a connection
    asking: dict[str, Any]  # of a connection to `hosts`


class Route(Protocol):
    """Where a connection has to go now."""

    def find(self) -> Host:
        """Return the server's host and port. Raises RedisError."""

    def moved(self, host: Host) -> None:
        """Learn that it is another one."""

    def lose(self) -> None:
        """Ask anew next time."""


def read_url(url: str) -> Address:
    """Read the URL of Sentinels or of a cluster. Raises BadURL, ValueError, TypeError."""
    parts = urlsplit(url)
    user, at, places = parts.netloc.rpartition("@")
    scheme, _, kind = parts.scheme.partition("+")
    path = parts.path.removeprefix("/").split("/")
    service = path.pop(0) if kind == "sentinel" else ""
    if kind == "sentinel" and not service:
        raise BadURL("it names no service, as in redis+sentinel://host:26379/mymaster/0.")
    database = "/".join(path)
    if parts.fragment or not re.fullmatch(r"\d*" if kind == "sentinel" else "0?", database):
        raise BadURL(
            "what stands last in it is not the number of a database (a cluster has only 0)."
        )
    plain = SplitResult(scheme, f"{user}{at}host", f"/{database}", parts.query, "")
    options = parse_url(plain.geturl())
    del options["host"]
    own = {name: options.pop(name) for name in list(options) if name.startswith("sentinel_")}
    asking = dict(options)
    if kind == "sentinel":
        asking = {k: v for k, v in options.items() if k.startswith(("ssl_", "connection_class"))}
        asking |= {name.removeprefix("sentinel_"): value for name, value in own.items()}
    for settings in (options, asking):
        ConnectionPool(**settings).make_connection()  # builds it, does not connect
    hosts = [_host(place, 26379 if kind == "sentinel" else 6379) for place in places.split(",")]
    return Address(hosts, service, options, asking)


def _host(place: str, port: int) -> Host:
    parts = urlsplit(f"//{place}")
    if not parts.hostname:
        raise BadURL("a host is missing in it, as in redis+cluster://host:6379,other:6379.")
    return parts.hostname, parts.port or port


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
        except (Disconnected, TimedOut):
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
        for host, port in list(self._hosts):
            client = Redis.from_pool(ConnectionPool(host=host, port=port, **self._options))
            try:
                return read(client)
            except (RedisError, OSError) as raised:
                error = raised
                self.turn()
            finally:
                client.close()
        names = ", ".join(f"{host}:{port}" for host, port in self._hosts)
        raise Disconnected(f"None of {names} shows the way to Redis: {error}")

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
                return host
        self.lose()
        raise Disconnected(f"No node of the cluster has slot {slot}.")

    def moved(self, slot: int, host: Host) -> None:
        """Learn that a slot has moved."""
        self._slots = [(slot, slot, host), *self._slots]

    def lose(self) -> None:
        """Forget who has what."""
        self._slots = []
        self._guides.turn()

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
