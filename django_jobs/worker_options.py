"""How a worker works."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django_jobs.executor import Policy

AHEAD = 128  # jobs held beyond the free slots, at most


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

    @property
    def slots(self) -> int:
        """Return how many jobs a worker may hold, the ended but unsettled ones too."""
        return 2 * (self.concurrency + AHEAD)
