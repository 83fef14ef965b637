"""The tests' settings with a queue that is limited."""

from tests.settings import *  # noqa: F403

JOBS = {"LEASE": 3, "QUEUES": {"limited": {"CONCURRENCY": 2, "RATE_LIMIT": "500/s"}}}
