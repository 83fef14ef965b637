"""How a worker works."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django_jobs.outcome import Policy
from django_jobs.queue import Queue

AHEAD = 128  # jobs claimed at once beyond the free slots, at most
AHEAD_SECONDS = 0.004  # and what can be run in this time, or in two round trips


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works; `lease` and `unknown_wait` in seconds, `max_memory` in MB."""

    concurrency: int = 8
    lease: float = 15.0
    weights: Mapping[str, int] = field(default_factory=dict)  # empty: strict order
    policy: Policy = field(default_factory=Policy)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    failed_ttl: float | None = None
    failed_ttls: Mapping[str, float | None] = field(default_factory=dict)
    drain: bool = False
    max_jobs: int | None = None
    max_memory: int | None = None
    unknown_wait: float = 900.0
    middleware: Sequence[str] = ()  # dotted paths
    release: str = ""  # of the project's code, for whoever looks

    @property
    def slots(self) -> int:
        """Return how many jobs a worker may hold, the ended but unsettled ones too."""
        return 2 * (self.concurrency + 2 * AHEAD)

    def policy_of(self, queue: str) -> Policy:
        """Return what a queue's settings say about its runs."""
        return self.policies.get(queue, self.policy)

    def failed_ttl_of(self, queue: str) -> float | None:
        """Return for how many seconds a queue's failed jobs are kept; None is for ever."""
        return self.failed_ttls.get(queue, self.failed_ttl)

    def order(self, queues: Iterable[Queue]) -> list[Queue]:
        """Return the queues in order of preference: as given, or drawn by weight.

        Drawing: P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir".
        """
        if not self.weights:
            return list(queues)
        draw = {queue: random.random() ** (1 / self.weights.get(queue.name, 1)) for queue in queues}
        return sorted(draw, key=draw.__getitem__, reverse=True)
