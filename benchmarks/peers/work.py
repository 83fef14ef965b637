"""What the jobs of every contestant do. Runs in each contestant's own environment."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.ledger import Ledger

URL = os.environ["REDIS_URL"]
SAFE = bool(os.environ.get("PEER_SAFE"))  # the most reliable settings, not the fastest

begun = Ledger(Path(os.environ["PEER_BEGUN"]))
ended = Ledger(Path(os.environ["PEER_ENDED"]))

SECONDS = {"nap": 0.001, "slow": 0.2, "long": 2.0}
NOTED: dict[str, Callable[[], int]] = {
    "stamp": time.time_ns,
    "slow": os.getpid,
    "long": os.getpid,
    "poison": os.getpid,
}


def run(kind: str, number: int) -> None:
    """Do the work of a job."""
    if seconds := _begin(kind, number):
        time.sleep(seconds)
    ended.mark(number)


async def arun(kind: str, number: int) -> None:
    """Do the work of a job on an event loop."""
    if seconds := _begin(kind, number):
        await asyncio.sleep(seconds)
    ended.mark(number)


def _begin(kind: str, number: int) -> float:
    if note := NOTED.get(kind):
        begun.stamp(number, note())
    if kind == "poison":
        os._exit(1)
    return SECONDS.get(kind, 0)
