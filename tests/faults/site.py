"""A Redis of the test's own, trees of workers on it, and the account of every job."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis

from django_jobs.claims import BEATS_PER_LEASE
from django_jobs.connection import get_client
from django_jobs.exceptions import PushError
from django_jobs.queue import Queue
from tests.conftest import Runjobs, free_port, start_redis, wait_until
from tests.faults.invariants import broken
from tests.processes import Tree, lines, ran

LEASE = 1.0
BEAT = LEASE / BEATS_PER_LEASE


class Server:
    """A redis-server that can be stopped, killed, frozen and started again."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis(port=self.port, protocol=2)
        self._folder = folder
        self._words = words
        folder.mkdir()
        self.start()

    def start(self) -> None:
        """Start it with the data it left."""
        self._process: subprocess.Popen[bytes] = start_redis(
            self.port, str(self._folder), *self._words
        )

    def signal(self, number: int) -> None:
        """Send it a signal; wait for its end if it is one that ends it."""
        self._process.send_signal(number)
        if number in (signal.SIGTERM, signal.SIGKILL):
            self._process.wait(10)

    def end(self) -> None:
        """End it, frozen or not."""
        self._process.kill()
        self._process.wait(10)
        self.client.close()


class Site:
    """What a scenario plays on; it keeps the id of every job that was pushed."""

    def __init__(self, server: Server, start: Runjobs, ledger: Path) -> None:
        self.server = server
        self.ledger = ledger
        self.ids: list[str] = []
        self._start = start
        self.queue = Queue("default", get_client(server.url))

    def push(
        self, handler: str, payload: Any = None, *, times: int = 1, **options: Any
    ) -> list[str]:
        """Push some jobs; what raises is not pushed."""
        new = [self.queue.push(payload, handler, **options) for _ in range(times)]
        self.ids += new
        return new

    def nap(self, seconds: float, times: int = 1, **options: Any) -> list[str]:
        """Push jobs that sleep."""
        return self.push("test.nap", {"seconds": seconds}, times=times, **options)

    def load(self, seconds: float) -> None:
        """Push a short job every 20 ms or so; Redis may be away."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(PushError):
                self.nap(0.02)
            time.sleep(0.02)

    def work(self, *words: str, url: str = "", **env: str) -> Tree:
        """Start a tree of workers."""
        url = url or self.server.url
        defaults = {"DJANGO_SETTINGS_MODULE": "tests.faults.settings", "LEASE": str(LEASE)}
        return self._start(*words, **{**defaults, "REDIS_URL": url, **env})

    def ready(self, *words: str, processes: int = 1, **env: str) -> Tree:
        """Start a tree of workers and wait until each of them has worked, and all is settled."""
        tree, tried = self.work("--processes", str(processes), *words, **env), []

        def works() -> bool:
            tried.extend(self.push("test.quick"))
            workers, seen = set(tree.children()), {event.pid for event in lines(self.ledger)}
            return len(workers) == processes and workers <= seen

        wait_until(works)
        keys = [f"jobs:default:job:{id}" for id in tried]
        wait_until(lambda: not self.server.client.exists(*keys))
        return tree

    # What happened.

    def began(self, ids: Iterable[str], *, after: float = 0.0) -> dict[str, float]:
        """Return when each of these jobs began first, if it did, after a moment."""
        found = [event for event in lines(self.ledger) if event.at > after]
        wanted, first = set(ids), {}
        for event in found:
            if event.what == "began" and event.id in wanted:
                first.setdefault(event.id, event.at)
        return first

    def wait_began(self, ids: Iterable[str], *, after: float = 0.0, seconds: float = 10) -> None:
        """Wait until all of these jobs have begun."""
        wanted = list(ids)
        wait_until(lambda: len(self.began(wanted, after=after)) == len(wanted), seconds)

    def wait_ran(self, ids: Iterable[str], seconds: float = 10) -> None:
        """Wait until all of these jobs have run to their end."""
        wanted = set(ids)
        wait_until(lambda: wanted <= set(ran(self.ledger)), seconds)

    def owners(self, of: Iterable[str] | None = None) -> dict[str, str]:
        """Return the jobs in processing (of these, or all) and their workers."""
        found: Any = self.server.client.hgetall("jobs:default:processing")
        held = {id.decode(): worker.decode() for id, worker in found.items()}
        return held if of is None else {id: held[id] for id in of if id in held}

    def registered(self) -> set[str]:
        """Return the workers that are not closed."""
        found: Any = self.server.client.zrangebyscore("jobs:default:workers", 0, "+inf")
        return {worker.decode() for worker in found}

    def failed(self) -> dict[str, Any]:
        """Return the failed jobs' records."""
        return {record.id: record for record in self.queue.failed()}

    def account(
        self,
        *,
        again: Iterable[str] = (),
        gone: Iterable[str] = (),
        seconds: float = 20,
        rising: bool = True,
    ) -> None:
        """Wait until nothing is under way; each job ended once, some (`again`) at least once.

        Some (`gone`) may have been removed. Unless Redis lost data, tokens are `rising`.
        """
        until = time.monotonic() + seconds
        while not self._quiet():
            assert broken(self.queue) == []
            assert time.monotonic() < until, f"{self.queue.stats()}, held: {self.owners()}"
            time.sleep(0.05)
        assert broken(self.queue) == []
        count, failed, again, gone = ran(self.ledger), self.failed(), set(again), set(gone)
        lost = [id for id in self.ids if not count[id] and id not in failed and id not in gone]
        assert not lost, f"lost: {lost}"
        twice = [id for id in self.ids if count[id] > 1 and id not in again]
        assert not twice, f"ran twice: {[e for e in lines(self.ledger) if e.id in twice]}"
        both = [id for id in failed if count[id] and id not in again]
        assert not both, f"ran, and failed: {both}"
        if rising:
            self._check_tokens()

    def begin_anew(self) -> None:
        """Forget the jobs so far, whose account is done."""
        self.ids.clear()
        self.ledger.write_text("")

    def _quiet(self) -> bool:
        stats = self.queue.stats()
        return stats.active == stats.processing == stats.scheduled == 0

    def _check_tokens(self) -> None:
        """Each run of a job had a token of its own, higher than the last one's."""
        highest: dict[str, int] = dict.fromkeys(self.ids, 0)
        for event in lines(self.ledger):
            if event.what == "began" and event.id in highest:
                assert event.token > highest[event.id], f"{event} after {highest[event.id]}"
                highest[event.id] = event.token


def stays(condition: Callable[[], object], seconds: float) -> None:
    """Poll for some time; fail when the condition does not hold."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), "it did not stay so"
        time.sleep(0.02)


def stop(tree: Tree, seconds: float = 10) -> None:
    """Let a tree end in order."""
    tree.send_signal(signal.SIGTERM)
    assert tree.wait(seconds) == 0, tree.output


def freeze(pids: Iterable[int]) -> None:
    """Stop processes as a debugger would."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def thaw(pids: Iterable[int]) -> None:
    """Let frozen processes go on."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
