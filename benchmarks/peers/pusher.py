"""Pushes what it is told to, line by line. Runs in a contestant's own environment."""

import asyncio
import inspect
import json
import os
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import django


class Pusher:
    """Pushes with one contestant, on one event loop if it needs one."""

    def __init__(self, contestant: Any, loop: asyncio.Runner) -> None:
        self.contestant = contestant
        self.loop = loop

    def push(self, kind: str, numbers: list[int], way: str = "push") -> None:
        """Push one job for each number, in the contestant's own `way`."""
        pushed = getattr(self.contestant, way)(kind, numbers)
        if inspect.isawaitable(pushed):
            self.loop.run(_ended(pushed))

    def ways(self) -> list[str]:
        """Return what the contestant can do."""
        return [name for name in ("push", "push_many") if hasattr(self.contestant, name)]

    def timed(self, kind: str, first: int, count: int, way: str) -> float:
        """Return how many seconds it took to push `count` jobs."""
        numbers = list(range(first, first + count))
        began = time.perf_counter()
        self.push(kind, numbers, way)
        return time.perf_counter() - began

    def seldom(self, first: int, count: int) -> list[int]:
        """Push jobs of 10 to 30 ms distance; return when each was pushed, in ns."""
        pushed = []
        for number in range(first, first + count):
            time.sleep(random.uniform(0.01, 0.03))
            pushed.append(time.time_ns())
            self.push("stamp", [number])
        return pushed

    def crash(self, number: int) -> None:
        """Die after the commit and before its hooks."""
        self._commit(number, lambda: os._exit(1))

    def refuse(self, number: int) -> None:
        """Roll back after a plain push."""
        from django.db import transaction

        with transaction.atomic():
            self.push("slow", [number])
            transaction.set_rollback(True)

    def _commit(self, number: int, hook: Callable[[], None]) -> None:
        from django.db import transaction

        with transaction.atomic():
            transaction.on_commit(hook)
            if getattr(self.contestant, "WAITS_FOR_THE_COMMIT", False):
                self.push("slow", [number])
            else:
                transaction.on_commit(lambda: self.push("slow", [number]))


async def _ended(pushed: Any) -> None:
    await pushed


def main() -> None:
    """Answer each line of JSON, the name of a method and its arguments, by a line of JSON."""
    django.setup()
    contestant = import_module(sys.argv[1])
    with asyncio.Runner() as loop:
        pusher = Pusher(contestant, loop)
        for line in sys.stdin:
            name, *rest = json.loads(line)
            print(json.dumps(getattr(pusher, name)(*rest)), flush=True)


if __name__ == "__main__":
    main()
