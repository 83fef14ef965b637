"""The tests' settings with a queue that is limited, and one to which other programs push."""

from tests.settings import *  # noqa: F403

QUEUES = {
    "limited": {"CONCURRENCY": 2, "RATE_LIMIT": "500/s"},
    "foreign": {"HANDLER": "test.quick"},
}
JOBS = {"LEASE": 3, "QUEUES": QUEUES}
