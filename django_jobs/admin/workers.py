"""The page of workers: what they are, what they do, and how to quiet and stop them."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.redis_admin import RedisAdmin, guarded, known_queues
from django_jobs.conf import get_settings
from django_jobs.models import JobWorker
from django_jobs.monitor.live import running_page
from django_jobs.monitor.pages import Row
from django_jobs.monitor.workers import WorkerRow, all_workers
from django_jobs.queue import Queue
from django_jobs.version import __version__

STATES = {
    "running": gettext_lazy("Running"),
    "quiet": gettext_lazy("Quiet"),
    "stopping": gettext_lazy("Stopping"),
    "lost": gettext_lazy("Lost"),
}
RUNNING = 1000  # jobs


@dataclass(frozen=True, slots=True)
class Process:
    """A worker, and the jobs it runs."""

    row: WorkerRow
    state: str
    jobs: list[Row]


@dataclass(frozen=True, slots=True)
class Runjobs:
    """One `runjobs`: a supervisor and its workers."""

    host: str
    pid: int
    processes: list[Process]

    @property
    def versions(self) -> set[str]:
        """Return the versions that are not that of this site."""
        return {one.row.version for one in self.processes} - {__version__}

    @property
    def releases(self) -> set[str]:
        """Return the releases of the project's code; "" for one that does not say."""
        return {one.row.release for one in self.processes}

    @property
    def any(self) -> str:
        """Return the id of one of its workers that is not lost; "" if all are."""
        return next((one.row.id for one in self.processes if one.row.state != "lost"), "")

    @property
    def states(self) -> set[str]:
        """Return the states its workers are in."""
        return {one.row.state for one in self.processes}


class JobWorkerAdmin(RedisAdmin):
    """Workers: what they do; quiet and stop."""

    noun = "worker"

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the workers; tell a `runjobs` something by POST."""
        known = known_queues()
        if request.method == "POST":
            self.tell(request, known)
            return HttpResponseRedirect(request.get_full_path())
        return self.page(
            request,
            "jobworker/list.html",
            title=_("Workers"),
            supervisors=supervisors(known),
            missing=known.missing,
            version=__version__,
            release=get_settings().RELEASE,
            **(extra_context or {}),
        )

    def tell(self, request: HttpRequest, known: dict[str, Queue]) -> None:
        """Tell the `runjobs` of a worker to go quiet or to stop."""
        self.demand(request, "stop_worker")
        order, worker = request.POST.get("order", ""), request.POST.get("worker", "")
        if order not in ("quiet", "stop"):
            raise PermissionDenied
        row = next((row for row in all_workers(known.values()) if row.id == worker), None)
        names = row.queues if row else []
        if not row or not any(known[name].order(worker, order) for name in names if name in known):
            messages.warning(request, _("This worker is gone."))
            return
        target = JobWorker(id=f"{row.host}:{row.supervisor}")
        said = _("Told to go quiet.") if order == "quiet" else _("Told to stop.")
        self.record(request, [target], CHANGE, said)
        messages.success(request, _("It was told, and hears it within seconds."))


def supervisors(known: dict[str, Queue]) -> list[Runjobs]:
    """Return every `runjobs` with its workers. Raises RedisError."""
    jobs: dict[str, list[Row]] = {}
    for row in running_page(known.values(), RUNNING).rows:
        jobs.setdefault(row.worker, []).append(row)
    found = []
    for (host, pid), rows in groupby(
        all_workers(known.values()), key=lambda row: (row.host, row.supervisor)
    ):
        processes = [
            Process(row, str(STATES.get(row.state, row.state)), jobs.get(row.id, []))
            for row in rows
        ]
        found.append(Runjobs(host, pid, processes))
    return found
