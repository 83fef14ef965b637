"""Redises that stand in for each other, all private: a master watched by Sentinels, a cluster."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from tests.conftest import free_port, start_redis, wait_until
from tests.faults.site import Server

QUICK = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
SLOTS = 16384


class Sentinels:
    """A master with a replica, and three Sentinels that watch them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.servers = [Server(folder / "first", *QUICK)]
        self.servers.append(self._follower(folder / "second"))
        wait_until(lambda: self.servers[1].client.info("replication")["master_link_status"] == "up")
        self._processes, ports = [], [free_port() for _ in range(3)]
        for port in ports:
            (folder / str(port)).mkdir()
            config = folder / str(port) / "sentinel.conf"
            config.write_text(
                f"sentinel monitor jobs 127.0.0.1 {self.servers[0].port} 2\n"
                "sentinel down-after-milliseconds jobs 1000\n"
                "sentinel failover-timeout jobs 4000\n"
            )
            self._processes.append(
                start_redis(port, str(config.parent), config=(str(config), "--sentinel"))
            )
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.url = f"redis+sentinel://{hosts}/jobs/0"
        self._asked = Redis(port=ports[0], protocol=2)
        wait_until(self._ready)

    def master(self) -> Server:
        """Return the server that the Sentinels call the master."""
        found: Any = self._asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "jobs")
        return next(server for server in self.servers if server.port == int(found[1]))

    def masters(self) -> list[Server]:
        """Return what takes jobs."""
        return [self.master()]

    def has_substitute(self) -> bool:
        """Say whether a replica has all that its master has."""
        master: Any = self.master().client.info("replication")
        return any(
            master[name]["state"] == "online" for name in master if re.match(r"slave\d", name)
        )

    def end(self) -> None:
        """End all of it."""
        for process in self._processes:
            process.kill()
            process.wait(10)
        for server in self.servers:
            server.end()

    def _follower(self, folder: Path) -> Server:
        return Server(folder, *QUICK, "--replicaof", "127.0.0.1", str(self.servers[0].port))

    def _ready(self) -> bool:
        found: Any = self._asked.execute_command("SENTINEL", "MASTER", "jobs")
        facts = dict(zip(found[::2], found[1::2], strict=True))
        return facts[b"num-slaves"] == b"1" and facts[b"num-other-sentinels"] == b"2"


class Cluster:
    """Three masters, each with a replica; with `certificates` (words for TLS) clients may use TLS."""

    def __init__(
        self, folder: Path, *, replicas: bool = True, certificates: tuple[str, ...] = ()
    ) -> None:
        folder.mkdir()
        self._certificates = certificates
        self.tls_ports: list[int] = []
        self._buses: dict[int, int] = {}
        self.servers = [self._server(folder / str(i)) for i in range(6 if replicas else 3)]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{s.port}" for s in self.servers[:2])
        self._ids = {
            server: server.client.execute_command("CLUSTER", "MYID") for server in self.servers
        }
        masters = self.servers[:3]
        for i, server in enumerate(masters):
            first, last = SLOTS * i // 3, SLOTS * (i + 1) // 3 - 1
            server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            server.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        ports = self.tls_ports or [server.port for server in self.servers]
        for server, port in zip(self.servers[1:], ports[1:], strict=True):
            bus = self._buses[server.port]
            masters[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        for master, replica in zip(masters, self.servers[3:], strict=False):
            wait_until(lambda r=replica, m=master: self._follow(r, m))
        wait_until(self.is_whole)

    def owner(self, slot: int) -> Server:
        """Return the server that has a slot, as most of them see it."""
        for server in self.servers:
            with suppress(RedisError):
                for first, last, (_, port, *_), *_ in self._slots(server):
                    if first <= slot <= last:
                        return next(found for found in self.servers if found.port == port)
        raise AssertionError(f"Nobody has slot {slot}.")

    def masters(self) -> list[Server]:
        """Return what takes jobs."""
        return list({self.owner(SLOTS * i // 3): None for i in range(3)})

    def others(self, server: Server) -> list[Server]:
        """Return the masters beside one."""
        return [master for master in self.masters() if master is not server]

    @contextmanager
    def on_its_way(self, slot: int, target: Server, *, pause: float = 0.0) -> Iterator[None]:
        """Move a slot's keys, as `redis-cli --cluster reshard` does, and tell the nodes at the end."""
        source = self.owner(slot)
        names = {server: self._ids[server] for server in (source, target)}
        target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        while found := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            words = ("127.0.0.1", target.port, "", 0, 5000, "KEYS", *found)
            source.client.execute_command("MIGRATE", *words)
            time.sleep(pause)
        yield
        for server in (target, source, *self.others(source)):
            server.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])

    def move(self, slot: int, target: Server, *, pause: float = 0.0) -> None:
        """Move a slot."""
        with self.on_its_way(slot, target, pause=pause):
            pass

    def is_whole(self) -> bool:
        """Say whether each server sees every slot, and each replica has its master's data."""
        links = []
        for server in self.servers:
            state: Any = server.client.execute_command("CLUSTER", "INFO")
            if b"cluster_state:ok" not in state:
                return False
            links.append(server.client.info("replication").get("master_link_status", ""))
        return links.count("up") == len(links) - 3

    def end(self) -> None:
        """End all of it."""
        for server in self.servers:
            server.end()

    def _server(self, folder: Path) -> Server:
        bus = free_port()
        words = ["--cluster-enabled", "yes", "--cluster-port", str(bus), *QUICK]
        if self._certificates:
            self.tls_ports.append(free_port())
            words += [*self._certificates, "--tls-cluster", "yes"]
            words += ["--tls-port", str(self.tls_ports[-1])]
        server = Server(folder, *words, "--cluster-node-timeout", "1000")
        self._buses[server.port] = bus
        return server

    def _follow(self, replica: Server, master: Server) -> bool:
        with suppress(ResponseError):  # they have not met
            replica.client.execute_command("CLUSTER", "REPLICATE", self._ids[master])
            return True
        return False

    def _slots(self, server: Server) -> Any:
        settings = {"socket_timeout": 0.5, "retry": Retry(NoBackoff(), 0), "protocol": 2}
        with Redis(port=server.port, **settings) as client:  # it may be frozen
            return client.execute_command("CLUSTER", "SLOTS")
