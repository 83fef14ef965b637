"""What the URLs of Sentinels and of clusters say."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis import ConnectionPool
from redis.connection import parse_url

Host = tuple[str, int]

ONE = ("redis://", "rediss://", "unix://")
SENTINEL = ("redis+sentinel://", "rediss+sentinel://")
CLUSTER = ("redis+cluster://", "rediss+cluster://")


class BadURL(ValueError):
    """What is wrong with a URL, in a sentence."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says: whom to ask for the way, and how to talk to Redis."""

    hosts: list[Host]
    service: str  # whose master Sentinels are asked for
    options: dict[str, Any]  # of a connection
    asking: dict[str, Any]  # of a connection to `hosts`


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
