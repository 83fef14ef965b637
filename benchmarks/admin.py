"""The admin's pages over 1,000,000 failed jobs in 40 groups and 200,000 that wait."""

import re
import statistics
import time
from argparse import ArgumentParser
from gzip import compress
from pathlib import Path
from typing import Any

import django_jobs
from benchmarks.rig import Rig, rig

FAILED, GROUPS, WAITING, QUEUES = 1_000_000, 40, 200_000, ("default", "a", "b", "c", "d")
SLOW = 10_000  # µs
STATIC = Path(django_jobs.__file__).parent / "static" / "django_jobs"

# As the scripts leave them; 10,000 at once.
SEED = """
local root, first, groups, now = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local payload = ARGV[4]
for n = first, first + 9999 do
  local id = string.format('%032x', n)
  local group = math.floor(groups * (n * 0.6180339887 % 1) ^ 2)
  local handler, class = 'shop.handler_' .. group, 'shop.errors.Error' .. group
  local at = now - (n * 86400 % 604800000)
  redis.call('HSET', root .. ':job:' .. id, 'handler', handler, 'payload', payload, 'enqueued_at', at,
    'state', 'failed', 'failed_at', at, 'exception', class, 'group', handler .. ' ' .. class,
    'attempts', 5, 'token', 5,
    'error:5', string.format('{"time":%d,"exception":"%s","message":"no %d","worker":"w"}', at, class, n))
  redis.call('ZADD', root .. ':failed', at, id)
  redis.call('ZADD', root .. ':group:' .. handler .. ' ' .. class, at, id)
  redis.call('HINCRBY', root .. ':groups', handler .. ' ' .. class, 1)
end
"""


def seed(bench: Rig) -> None:
    """Fill Redis."""
    from django_jobs import get_queue, push_jobs

    redis: Any = bench.redis
    script, now = redis.register_script(SEED), round(time.time() * 1000)
    for number, first in enumerate(range(0, FAILED, 10_000)):
        name = QUEUES[number % len(QUEUES)]
        script([f"jobs:{name}"], [first, GROUPS, now, '{"order_id": 123456, "how": "by air"}'])
    for first in range(0, WAITING, 10_000):
        name = QUEUES[first // 10_000 % len(QUEUES)]
        push_jobs("noop", [{"n": n} for n in range(10_000)], queue=name)
    assert sum(get_queue(name).stats().failed for name in QUEUES) == FAILED
    redis.config_set("slowlog-log-slower-than", SLOW)
    redis.slowlog_reset()


def main() -> None:
    """Print a line for each page: the median and the longest of some requests, and its weight."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=7)
    chosen = options.parse_args()
    with rig("benchmarks.admin_settings") as bench:
        from django.contrib.auth.models import User
        from django.core.management import call_command
        from django.test import Client

        call_command("migrate", verbosity=0)
        client = Client()
        client.force_login(User.objects.create_superuser("ann"))
        seed(bench)
        for name, path, data in requests(client):
            measure(client, name, path, data, chosen.runs)
        for file in sorted(STATIC.iterdir()):
            raw = file.read_bytes()
            print(
                f"  {file.name:<60} {len(raw) / 1000:6.1f} kB, {len(compress(raw)) / 1000:5.1f} packed"
            )
        slow = bench.redis.slowlog_get(100)
        print(f"\ncommands over {SLOW // 1000} ms: {len(slow)}")
        for entry in slow:
            print(f"  {entry['duration']:>8} µs  {entry['command'][:100]!r}")


def requests(client: Any) -> list[tuple[str, str, dict[str, str] | None]]:
    """Return name, path and what is posted."""
    from django.urls import reverse

    names = ("jobqueue", "jobrecord", "jobworker")
    queues, jobs, workers = (reverse(f"admin:django_jobs_{name}_changelist") for name in names)
    found: list[tuple[str, str, dict[str, str] | None]] = [
        ("queues", queues, None),
        ("live", reverse("admin:django_jobs_jobqueue_live"), None),
        ("one queue", reverse("admin:django_jobs_jobqueue_change", args=["default"]), None),
        ("handlers", reverse("admin:django_jobs_jobqueue_handlers"), None),
        ("workers", workers, None),
        ("failed", jobs, None),
        ("failed of one handler", f"{jobs}?handler=shop.handler_0", None),
        ("failed in the last day", f"{jobs}?time=day", None),
        ("waiting", f"{jobs}?state=waiting", None),
        ("waiting, deep", f"{jobs}?state=waiting&start=100000", None),
        ("confirm retry all", jobs, {"action": "retry-all"}),
    ]
    page = client.get(jobs).content.decode()
    first = re.search(r'name="job" value="([^"]+)"', page)
    assert first is not None
    change = reverse("admin:django_jobs_jobrecord_change", args=[first[1].replace(":", "_3A")])
    middle = time.time() * 1000 - 3.5 * 86_400_000
    deep = f"{jobs}?after={middle:.1f}:default:{'0' * 32}"
    return [*found, ("failed, deep", deep, None), ("one job", change, None)]


def measure(client: Any, name: str, path: str, data: dict[str, str] | None, runs: int) -> None:
    """Print a line."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        answer = client.get(path) if data is None else client.post(path, data)
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (name, answer.status_code)
    print(
        f"  {name:<26} median {statistics.median(times):7.1f} ms   longest {max(times):7.1f} ms"
        f"   {len(answer.content) / 1000:6.1f} kB, {len(compress(answer.content)) / 1000:5.1f} packed"
    )


if __name__ == "__main__":
    main()
else:
    from django.contrib import admin
    from django.urls import path

    urlpatterns = [path("admin/", admin.site.urls)]
