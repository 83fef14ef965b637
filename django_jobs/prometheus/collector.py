"""Queues and handlers as metrics, read from Redis at each scrape."""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from django_jobs.conf import get_settings, without_password
from django_jobs.connection import get_queue
from django_jobs.monitor.counts import all_stats, oldest_waits
from django_jobs.monitor.history import HandlerStats, ever
from django_jobs.monitor.reading import by_client
from django_jobs.monitor.workers import all_workers
from django_jobs.queue import Queue
from django_jobs.runner import all_queue_names

STATES = ("active", "scheduled", "processing", "succeeded", "failed")
WORKERS = ("running", "quiet", "stopping", "lost")
TOOK = {digits: 2.0**digits / 2**20 for digits in range(10, 33)}  # 1 ms to 68 min
WAITED = {digits: 2.0**digits / 1000 for digits in range(23)}  # 1 ms to 70 min


class JobsCollector(Collector):
    """Tells of all queues of this project; without Redis only that it is away."""

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values: to register it asks no Redis."""
        return _Families().all

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        families = _Families()
        workers = Counter(dict.fromkeys(WORKERS, 0))
        for queues in by_client(get_queue(name) for name in all_queue_names()):
            where = [without_password(get_settings().url(queues[0].name))]
            try:
                families.add(queues)
                workers.update(worker.state for worker in all_workers(queues))
                families.up.add_metric(where, 1)
            except (RedisError, OSError):
                families.up.add_metric(where, 0)
        for state, count in workers.items():
            families.workers.add_metric([state], count)
        return families.all


class _Families:
    """The metrics of one scrape."""

    def __init__(self) -> None:
        runs = ["queue", "handler"]
        self.up = GaugeMetricFamily(
            "django_jobs_redis_up", "Whether this Redis answers.", labels=["redis"]
        )
        self.jobs = GaugeMetricFamily(
            "django_jobs_jobs",
            "Jobs by their state; succeeded are those whose results are kept.",
            labels=["queue", "state"],
        )
        self.wait = GaugeMetricFamily(
            "django_jobs_oldest_wait_seconds",
            "For how long the job has waited that is claimed next.",
            labels=["queue"],
        )
        self.paused = GaugeMetricFamily(
            "django_jobs_paused", "Whether workers claim nothing from it.", labels=["queue"]
        )
        self.workers = GaugeMetricFamily(
            "django_jobs_workers", "Worker processes by their state.", labels=["state"]
        )
        self.runs = CounterMetricFamily(
            "django_jobs_runs", "Runs by their outcome.", labels=[*runs, "outcome"]
        )
        self.took = HistogramMetricFamily(
            "django_jobs_run_seconds", "How long runs took.", labels=runs
        )
        self.waited = HistogramMetricFamily(
            "django_jobs_wait_seconds",
            "How long jobs waited for their first attempt, from when they were due.",
            labels=runs,
        )
        self.all: Sequence[Metric] = list(vars(self).values())

    def add(self, queues: Sequence[Queue]) -> None:
        """Add what there is to say of the queues of one Redis. Raises RedisError."""
        stats, waits, runs = all_stats(queues), oldest_waits(queues), ever(queues)
        for name, counts in stats.items():
            for state in STATES:
                self.jobs.add_metric([name, state], getattr(counts, state))
            self.paused.add_metric([name], counts.paused)
            self.wait.add_metric([name], waits[name])
            for handler in runs[name]:
                self._add_runs(name, handler)

    def _add_runs(self, queue: str, stats: HandlerStats) -> None:
        labels = [queue, stats.handler]
        outcomes = {
            "succeeded": stats.runs - stats.failures,
            "retry": stats.failures - stats.failed,
            "failed": stats.failed,
        }
        for outcome, count in outcomes.items():
            self.runs.add_metric([*labels, outcome], count)
        self.took.add_metric(labels, _buckets(stats.took, TOOK), stats.total)
        self.waited.add_metric(labels, _buckets(stats.waited, WAITED), None)


def _buckets(sizes: Counter[int], limits: dict[int, float]) -> list[tuple[str, float]]:
    """Return how many are below each limit, from how many have each number of binary digits."""
    below = [
        (str(limit), sum(n for size, n in sizes.items() if size <= digits))
        for digits, limit in limits.items()
    ]
    return [*below, ("+Inf", sizes.total())]
