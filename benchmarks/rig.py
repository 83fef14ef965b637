"""What every benchmark needs: a private Redis, workers, clocks, a table."""

import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SETTINGS = ("--hash-max-listpack-value", "1024")  # as `jobs doctor` recommends


@dataclass
class Rig:
    """A private Redis with nothing in it, and a ledger; Django is set up."""

    redis: Any
    ledger: Any
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def clear(self) -> None:
        """Forget every job."""
        self.redis.flushall()
        self.ledger.clear()

    @contextmanager
    def workers(self, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run `runjobs` next to the block."""
        command = [sys.executable, "-m", "django", "runjobs", *words]
        output = None if os.environ.get("BENCH_SHOW") else subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(40)

    def ran(self, count: int) -> int:
        """Return how many of the first `count` jobs have run."""
        return count - self.ledger.runs(count).count(0)

    def wait_for(self, count: int, of: int, seconds: float = 120) -> float:
        """Return the moment (perf_counter) at which `count` of the first `of` jobs had run."""
        deadline = time.perf_counter() + seconds
        while self.ran(of) < count:
            now = time.perf_counter()
            assert now < deadline, f"only {self.ran(of)} of {of} jobs ran"
            time.sleep(0.001)
        return time.perf_counter()

    def check_each_ran_once(self, count: int) -> None:
        """Fail if a job was lost, or ran twice."""
        runs = self.ledger.runs(count)
        assert runs == b"\1" * count, f"lost {runs.count(0)}, twice {count - runs.count(1)}"

    def redis_cpu(self) -> float:
        """Return the seconds of processor time that Redis has used."""
        info = self.redis.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])


@contextmanager
def private_redis(folder: Path) -> Iterator[int]:
    """Start a Redis with nothing in it; return its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if binary is None:
        sys.exit("The benchmarks need redis-server: apt-get install redis-server")
    command = [binary, "--port", str(port), "--save", "", "--dir", str(folder), *SETTINGS]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        server.terminate()
        server.wait(10)


def connect(port: int) -> Any:
    """Return a client of a Redis that may be starting still."""
    from redis import Redis
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    redis = Redis(port=port, protocol=2, retry=Retry(ConstantBackoff(0.05), 100))
    redis.ping()
    return redis


@contextmanager
def rig(settings: str = "benchmarks.settings") -> Iterator[Rig]:
    """Start a private Redis, make a ledger, set up Django."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    (folder / "ledger").touch()
    try:
        with private_redis(folder) as port:
            os.environ.update(
                REDIS_URL=f"redis://127.0.0.1:{port}/0",
                BENCH_LEDGER=str(folder / "ledger"),
                DJANGO_SETTINGS_MODULE=settings,
                PYTHONPATH=str(ROOT),
            )
            sys.path.insert(0, str(ROOT))
            yield _set_up(port)
    finally:
        shutil.rmtree(folder)


def _set_up(port: int) -> Rig:
    import django

    django.setup()
    from benchmarks.jobs import ledger

    return Rig(connect(port), ledger)


def interleave(
    ways: Mapping[str, Callable[[], float]], runs: int, show: Callable[[str], None] = print
) -> dict[str, list[float]]:
    """Measure each way `runs` times, in turn, so that a slow minute hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(runs):
        for name, measure in ways.items():
            found[name].append(measure())
            show(f"  run {turn + 1}: {name:<44}{found[name][-1]:>14,.2f}")
    return found


def table(title: str, found: Mapping[str, Sequence[float]], unit: str, base: str = "") -> None:
    """Print medians and spreads; with `base`, ratios to that row, run by run."""
    print(f"\n{title}")
    print(f"  {'':<44}{'median ' + unit:>16}{'from':>12}{'to':>12}{'ratio':>8}")
    for name, values in found.items():
        ratio = ""
        if base:
            pairs = zip(values, found[base], strict=True)
            ratio = f"{statistics.median(value / other for value, other in pairs):.2f}"
        middle = statistics.median(values)
        print(f"  {name:<44}{middle:>16,.1f}{min(values):>12,.1f}{max(values):>12,.1f}{ratio:>8}")


def children_cpu() -> float:
    """Return the seconds of processor time of this process' ended children, and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
