"""The tests' settings with a short lease, which `LEASE` may set."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults"]
JOBS: dict[str, object] = {
    "LEASE": float(os.environ.get("LEASE", "1")),
    "UNKNOWN_HANDLER_WAIT": 1,
    "BACKOFF": 0,
}
JOBS["SCHEDULES"] = json.loads(os.environ.get("SCHEDULES", "{}"))
