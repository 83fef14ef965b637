"""The overview of all queues, the page of one, and what its numbers are while one looks."""

from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _

from django_jobs import bulk
from django_jobs.admin import live
from django_jobs.admin.attention import notes
from django_jobs.admin.bulk import BulkPages
from django_jobs.admin.handlers import HandlerPages
from django_jobs.admin.live import Snapshot
from django_jobs.admin.redis_admin import guarded, known_queues
from django_jobs.models import JobQueue
from django_jobs.monitor.live import waiting_page
from django_jobs.queue import Queue
from django_jobs.templatetags.django_jobs import limits

SHOWN = 20  # waiting jobs on a queue's page


class JobQueueAdmin(HandlerPages, BulkPages):
    """Queues: counts and charts, pause and resume, empty."""

    noun = "queue"
    bulk_rights: ClassVar = {"empty": "empty_queue"}

    def get_urls(self) -> list[URLPattern]:
        """Add a queue's page, and the numbers of both."""
        return [
            self.url("live/", self.live_view, "live"),
            self.url("<path:object_id>/change/", self.change_view, "change"),
            *super().get_urls(),
        ]

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the queues; pause or resume one by POST."""
        known = known_queues()
        if request.method == "POST":
            self.switch(request, known)
            return HttpResponseRedirect(request.get_full_path())
        return self.page(
            request,
            "jobqueue/list.html",
            title=_("Queues"),
            live_url=self.link("live"),
            missing=known.missing,
            **shown(live.take(known)),
            **(extra_context or {}),
        )

    @guarded
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one queue; pause, resume or empty it by POST."""
        known, name = known_queues(), unquote(object_id)
        queue = known.find(name)
        if queue is None:
            messages.warning(request, _("There is no such queue."))
            return HttpResponseRedirect(self.link("changelist"))
        if request.method == "POST" and "empty" in request.POST:
            return self.empty(request, queue)
        if request.method == "POST":
            self.switch(request, known)
            return HttpResponseRedirect(request.get_full_path())
        return self.page(
            request,
            "jobqueue/detail.html",
            title=name,
            trail=[(_("Queues"), self.link("changelist"))],
            live_url=f"{self.link('live')}?queue={name}",
            waiting=waiting_page([queue], size=SHOWN),
            **shown(live.take(known).only(name)),
            **(extra_context or {}),
        )

    @guarded
    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with what changed of the overview, or of one queue's page."""
        snapshot = live.recent(known_queues())
        if "queue" in request.GET:
            snapshot = snapshot.only(request.GET["queue"])
            if not snapshot.queues:
                raise Http404
        found = shown(snapshot)
        return JsonResponse({name: found[name] for name in ("text", "paths", "shape")})

    def switch(self, request: HttpRequest, known: dict[str, Queue]) -> None:
        """Pause or resume the queue that the form names."""
        self.demand(request, "pause_queue")
        pause = "pause" in request.POST
        name = request.POST.get("pause" if pause else "resume", "")
        queue = known.get(name)
        if queue is None:
            messages.warning(request, _("There is no such queue."))
            return
        if not (queue.pause() if pause else queue.resume()):
            messages.warning(request, _("Somebody else was faster: nothing was changed."))
            return
        self.record(request, [JobQueue(id=name)], CHANGE, _("Paused.") if pause else _("Resumed."))
        said = _("The queue %(queue)s is paused.") if pause else _("The queue %(queue)s goes on.")
        messages.success(request, said % {"queue": name})

    def empty(self, request: HttpRequest, queue: Queue) -> HttpResponse:
        """Ask whether to delete all waiting jobs; begin once that is confirmed."""
        self.demand(request, "empty_queue")
        work = bulk.of_waiting(queue, what=_("queue %s") % queue.name)
        change = self.link("change", quote(queue.name))
        if not work.total:
            messages.warning(request, _("Nothing is waiting."))
            return HttpResponseRedirect(change)
        if "confirmed" in request.POST:
            work.who = request.user.get_username()
            return self.begin(request, work, JobQueue(id=queue.name))
        trail = [(_("Queues"), self.link("changelist")), (queue.name, change)]
        return self.ask(request, "empty", work.total, trail=trail, back=change)


def shown(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a page of queues shows; `shape` changes when it has to be loaded again."""
    found, text = notes(snapshot), live.texts(snapshot)
    parts = [*(note.kind for note in found)]
    parts += [
        f"{queue.name}{queue.stats.paused}{queue.late}{limits(queue.limits)}"
        for queue in snapshot.queues
    ]
    return {
        "snapshot": snapshot,
        "bars": [(10 * place, text[f"minute:{place}"]) for place in range(60)],
        "notes": found,
        "text": text | {f"note:{place}": note.text for place, note in enumerate(found)},
        "paths": live.paths(snapshot),
        "shape": " ".join(parts),
    }
