"""What somebody should look at, in sentences."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.live import QueueView, Snapshot
from django_jobs.monitor.servers import Server
from django_jobs.templatetags.django_jobs import duration, number, size

FEW = 10  # failures that are no news
MANY_TIMES = 3
FULL = 0.8
FRESH = 10.0  # seconds for which a job may wait in the outbox


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence; `kind` is bad or warning."""

    kind: str
    text: str


def notes(snapshot: Snapshot) -> list[Note]:
    """Return what needs attention, the worst first."""
    found = [
        *_of_failures(snapshot),
        *(note for queue in snapshot.queues for note in _of_queue(queue)),
        *_of_outbox(snapshot),
        *(note for server in snapshot.servers for note in _of_server(server)),
    ]
    return sorted(found, key=lambda note: note.kind)


def _of_failures(snapshot: Snapshot) -> Iterator[Note]:
    failures = [failed for _runs, failed in snapshot.minutes]
    now, usual = sum(failures[-10:]), sum(failures[:-10]) / 5
    if now >= FEW and now >= MANY_TIMES * usual:
        text = _("Runs fail more often: %(now)s in the last 10 minutes, %(usual)s in a usual 10.")
        yield Note("bad", text % {"now": number(now), "usual": number(round(usual))})


def _of_queue(queue: QueueView) -> Iterator[Note]:
    said = {"queue": queue.name, "n": number(queue.stats.active), "wait": duration(queue.wait)}
    if queue.idle:
        one = "Queue %(queue)s has no worker: %(n)s job waits."
        many = "Queue %(queue)s has no worker: %(n)s jobs wait."
        yield Note("bad", ngettext(one, many, queue.stats.active) % said)
    elif queue.late and not queue.stats.paused:
        text = _("Queue %(queue)s is behind: its next job has waited for %(wait)s (%(n)s waiting).")
        yield Note("warning", text % said)
    if queue.overdue:
        text = _("A schedule of queue %(queue)s is overdue: it was due %(late)s ago.")
        yield Note("bad", text % {"queue": queue.name, "late": duration(queue.overdue)})
    if batches := queue.left_open:
        one = "Queue %(queue)s: the push of a batch broke off, so nothing will follow it: %(id)s."
        many = (
            "Queue %(queue)s: the pushes of %(n)s batches broke off, so nothing will follow them;"
            " the oldest is %(id)s."
        )
        text = ngettext(one, many, len(batches)) + " " + _("What to do says manage.py jobs doctor.")
        said |= {"n": number(len(batches)), "id": batches[0].id}
        yield Note("warning", text % said)


def _of_outbox(snapshot: Snapshot) -> Iterator[Note]:
    wait = max((row.seconds for row in snapshot.outbox), default=0.0)
    if wait > FRESH:
        count = sum(row.count for row in snapshot.outbox)
        one = "%(n)s job waits in the outbox until Redis takes it, for %(wait)s now."
        many = "%(n)s jobs wait in the outbox until Redis takes them, the first for %(wait)s now."
        said = {"n": number(count), "wait": duration(wait)}
        yield Note("warning", ngettext(one, many, count) % said)


def _of_server(server: Server) -> Iterator[Note]:
    said = {
        "redis": server.name,
        "policy": server.policy,
        "used": size(server.used),
        "limit": size(server.limit),
    }
    if server.limit and server.used > FULL * server.limit:
        text = _("%(redis)s is almost full: %(used)s of %(limit)s are used.")
        yield Note("bad", text % said)
    if server.policy not in ("noeviction", ""):
        text = _(
            "%(redis)s may delete jobs when its memory is full: its eviction policy is"
            " %(policy)s, and should be noeviction."
        )
        yield Note("warning", text % said)
