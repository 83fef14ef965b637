"""What the queue pages show and keep up to date: one look at Redis, then its words and charts."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _

from django_jobs.admin import charts
from django_jobs.conf import get_settings
from django_jobs.monitor import batches, counts, history, limits, schedules, servers, workers
from django_jobs.outbox.rows import Waiting, all_waiting
from django_jobs.queue import Queue
from django_jobs.record import Stats
from django_jobs.templatetags.django_jobs import NONE, duration, number

FRESH = 1.0  # seconds
LATE = 300.0  # seconds that a job may wait before the page says so
HOUR = 3_600_000  # ms

Minutes = list[tuple[int, int]]

_timeline = history.Timeline()
_last: dict[str, tuple[float, "Snapshot"]] = {}


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue at one moment; `wait` in seconds."""

    name: str
    stats: Stats
    wait: float
    failed_lately: int
    minutes: Minutes
    workers: int
    overdue: float  # seconds since the first of its schedules was due
    limits: limits.InForce
    left_open: list[batches.Batch]

    @property
    def late(self) -> bool:
        """Say whether its oldest job waits for too long."""
        return self.wait > LATE

    @property
    def idle(self) -> bool:
        """Say whether jobs wait that nobody will take."""
        return bool(self.stats.active and not self.workers and not self.stats.paused)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Several queues at one moment."""

    queues: list[QueueView]
    workers: list[workers.WorkerRow]
    servers: list[servers.Server]
    outbox: Sequence[Waiting] = ()

    def only(self, name: str) -> "Snapshot":
        """Return what concerns one queue."""
        return replace(
            self,
            queues=[queue for queue in self.queues if queue.name == name],
            workers=[worker for worker in self.workers if name in worker.queues],
            outbox=[row for row in self.outbox if row.queue == name],
        )

    @property
    def minutes(self) -> Minutes:
        """Return the sums of the last hour."""
        return history.totals([queue.minutes for queue in self.queues])


def take(known: Mapping[str, Queue]) -> Snapshot:
    """Look at Redis. Raises RedisError."""
    queues = list(known.values())
    stats, waits = counts.all_stats(queues), counts.oldest_waits(queues)
    lately = counts.failed_since(queues, counts.server_time(queues[0]) - HOUR)
    rows, overdue = workers.all_workers(queues), schedules.overdue(queues)
    bounds, left_open = limits.in_force(queues), batches.left_open(queues)
    alive = Counter(name for row in rows if row.state == "running" for name in row.queues)
    views = [
        QueueView(
            queue.name,
            stats[queue.name],
            waits[queue.name],
            lately[queue.name],
            _timeline.minutes(queue),
            alive[queue.name],
            overdue[queue.name],
            bounds[queue.name],
            left_open[queue.name],
        )
        for queue in queues
    ]
    found = Snapshot(views, rows, servers.all_servers(queues), all_waiting())
    _last[get_settings().PREFIX] = (time.monotonic(), found)
    return found


def recent(known: Mapping[str, Queue]) -> Snapshot:
    """Return a snapshot that is at most a second old; however many pages poll. Raises RedisError."""
    at, found = _last.get(get_settings().PREFIX, (0.0, None))
    if found is None or time.monotonic() - at > FRESH or len(known) != len(found.queues):
        return take(known)
    return found


def texts(snapshot: Snapshot) -> dict[str, str]:
    """Return every text of the page that changes, by its name."""
    queues, minutes = snapshot.queues, snapshot.minutes
    slots = sum(worker.concurrency for worker in snapshot.workers if worker.state == "running")
    running = sum(queue.stats.processing for queue in queues)
    top = charts.nice_top(max((runs for runs, _failures in minutes), default=0))
    lately = sum(queue.failed_lately for queue in queues)
    found = {
        "waiting": number(sum(queue.stats.active for queue in queues)),
        "wait": duration(max((queue.wait for queue in queues), default=0)),
        "running": number(running),
        "slots": _("of %(n)s slots") % {"n": number(slots)},
        "scheduled": number(sum(queue.stats.scheduled for queue in queues)),
        "failed": number(sum(queue.stats.failed for queue in queues)),
        "lately": _("%(n)s in the last hour") % {"n": number(lately)},
        "workers": number(len(snapshot.workers)),
        "top": number(top),
        "half": number(top / 2 if top % 2 else top // 2),
        "summary": summary(minutes),
    }
    for place, (runs, failures) in enumerate(minutes):
        said = {"ago": 59 - place, "good": number(runs - failures), "bad": number(failures)}
        found[f"minute:{place}"] = _("%(ago)s min ago: %(good)s succeeded, %(bad)s failed") % said
    for queue in queues:
        found |= {
            f"{queue.name}:waiting": number(queue.stats.active),
            f"{queue.name}:wait": duration(queue.wait) if queue.wait else NONE,
            f"{queue.name}:running": number(queue.stats.processing),
            f"{queue.name}:scheduled": number(queue.stats.scheduled),
            f"{queue.name}:pace": number(queue.minutes[-2][0]),
            f"{queue.name}:failed": number(queue.stats.failed),
            f"{queue.name}:workers": number(queue.workers),
        }
    return found


def paths(snapshot: Snapshot) -> dict[str, str]:
    """Return every path of the page's charts, by its name."""
    minutes = snapshot.minutes
    top = charts.nice_top(max((runs for runs, _failures in minutes), default=0))
    good, bad = charts.bars(minutes, top)
    lines = {
        f"{queue.name}:line": charts.line([runs for runs, _failures in queue.minutes[:-1]])
        for queue in snapshot.queues
    }
    return {"good": good, "bad": bad, **lines}


def summary(minutes: Minutes) -> str:
    """Return the chart in one sentence."""
    runs, failures = (sum(column) for column in zip(*minutes, strict=True))
    return _("Last hour: %(good)s runs succeeded, %(bad)s failed, at most %(peak)s a minute.") % {
        "good": number(runs - failures),
        "bad": number(failures),
        "peak": number(max(runs for runs, _failures in minutes)),
    }
