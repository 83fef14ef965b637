"""How fast a contestant pushes, drains and begins, and what it weighs."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.contestant import Contestant
from benchmarks.peers.stand import Stand, Tell, stand

Figures = dict[str, float]

UNITS = {
    "push": "jobs/s",
    "push many": "jobs/s",
    "no-op": "jobs/s",
    "1 ms": "jobs/s",
    "p50": "ms",
    "p99": "ms",
    "memory": "MB",
    "memory, shared once": "MB",
    "lost": "jobs",
    "twice": "jobs",
}
SMALL, LARGE = 200, 100_000  # jobs
PATIENCE = 10  # seconds for which nothing ends, then what is left is lost


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    seconds: float  # that each drain and each push should take
    waits: int  # jobs pushed to an idle worker
    runs: int = 3


TRIAL = Sizes(seconds=0, waits=0)
FULL = Sizes(seconds=3, waits=300)
QUICK = Sizes(seconds=0.7, waits=100)


def measure(
    contestant: Contestant, way: dict[str, str], python: Path, sizes: Sizes, rates: Figures
) -> Figures:
    """Measure once; the numbers of jobs are set by the `rates` of a run before."""

    def jobs(name: str) -> int:
        return min(max(round(rates.get(name, 0) * sizes.seconds), SMALL), LARGE)

    with stand(contestant, python) as place, place.pusher() as tell:
        tell("timed", "noop", 0, 1, "push")  # connects
        place.clear()
        bulk = "push_many" in tell("ways")
        single = min(jobs("push"), jobs("no-op"))
        count = max(jobs("no-op"), single + bulk * SMALL)
        found = {"push": single / tell("timed", "noop", 0, single, "push")}
        if bulk:
            took = tell("timed", "noop", single, count - single, "push_many")
            found["push many"] = (count - single) / took
        elif count > single:
            tell("timed", "noop", single, count - single, "push")
        found["no-op"] = drain(place, way["noop"], count)
        found["memory"], found["memory, shared once"] = place.memory()
        if sizes.waits:
            cuts = statistics.quantiles(waits(place, tell, count, sizes.waits), n=100)
            found["p50"], found["p99"] = cuts[49], cuts[98]
        found["lost"], found["twice"] = account(place.ended.runs(count + sizes.waits))
        place.stop()
        place.clear()
        count = jobs("1 ms")
        tell("timed", "nap", 0, count, "push_many" if bulk else "push")
        found["1 ms"] = drain(place, way["nap"], count)
        lost, twice = account(place.ended.runs(count))
        return {**found, "lost": found["lost"] + lost, "twice": found["twice"] + twice}


def account(runs: bytes) -> tuple[int, int]:
    """Return how many jobs of a ledger have not run, and how many ran more than once."""
    return runs.count(0), len(runs) - runs.count(0) - runs.count(1)


def drain(place: Stand, command: str, count: int) -> float:
    """Start the worker; return jobs per second from the first that ended to the last."""
    place.start(command)
    if not place.until(lambda: place.left(count) < count, 30, pause=0.001):
        raise RuntimeError(f"{place.contestant.title} ran nothing:\n{place.log()}")
    first = left = place.left(count)
    began = ended = time.perf_counter()
    while left and time.perf_counter() < ended + PATIENCE:
        time.sleep(0.001)
        if (now := place.left(count)) < left:
            left, ended = now, time.perf_counter()
    return (first - left) / (ended - began)


def waits(place: Stand, tell: Tell, first: int, count: int) -> list[float]:
    """Push seldom to the idle worker; return the ms from each push to the start of its job."""
    pushed = tell("seldom", first, count)
    place.until(lambda: not place.left(first + count), PATIENCE)
    starts = place.begun.starts(first + count)[first:]
    return [(start - at) / 1e6 for start, at in zip(starts, pushed, strict=True) if start]
