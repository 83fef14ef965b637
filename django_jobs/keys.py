"""Every name this package uses in Redis, and what a queue may be called."""

import re
from functools import lru_cache

QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
SCHEDULE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")
PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,100}\Z")
RESERVED_NAMES = frozenset({"queues", "schedules"})


@lru_cache(maxsize=4096)
def root(prefix: str, queue: str, *, cluster: bool = False) -> str:
    """Return the key under which everything of a queue lives; in a cluster, one slot."""
    if not QUEUE_NAME.match(queue) or queue in RESERVED_NAMES:
        raise ValueError(
            f"{queue!r} cannot name a queue: use 1 to 64 of A-Z a-z 0-9 _ . -"
            f" (and neither of {', '.join(sorted(RESERVED_NAMES))})."
        )
    return f"{prefix}:{{{queue}}}" if cluster else f"{prefix}:{queue}"


def queues(prefix: str) -> str:
    """Return the key of the set of all queue names."""
    return f"{prefix}:queues"


def job(root: str, id: str) -> str:
    """Return the key of a job's hash."""
    return f"{root}:job:{id}"
