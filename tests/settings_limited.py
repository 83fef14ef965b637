"""The tests' settings with a release, a queue that is limited, one to which other programs push."""

from tests.settings import *  # noqa: F403

QUEUES = {
    "limited": {"CONCURRENCY": 2, "RATE_LIMIT": "500/s"},
    "foreign": {"HANDLER": "test.quick"},
}
JOBS = {"LEASE": 3, "RELEASE": "7f3a", "QUEUES": QUEUES}
