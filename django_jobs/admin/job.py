"""The page of one job, and what is done to it there."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin import frames
from django_jobs.admin.bulk import BulkPages
from django_jobs.admin.editing import Draft
from django_jobs.admin.redis_admin import guarded, known_queues
from django_jobs.admin.selection import Selection
from django_jobs.exceptions import PayloadError, UniqueHeld
from django_jobs.job import encode_payload
from django_jobs.models import JobRecord
from django_jobs.monitor import batches, shown
from django_jobs.monitor.limits import room_of
from django_jobs.queue import Queue
from django_jobs.record import JobRecord as Job
from django_jobs.templatetags.django_jobs import size

STATES = {
    "active": gettext_lazy("Waiting"),
    "processing": gettext_lazy("Running"),
    "scheduled": gettext_lazy("Scheduled"),
    "failed": gettext_lazy("Failed"),
    "succeeded": gettext_lazy("Succeeded"),
}
BULK = re.compile(r"([^:/]+):bulk:([0-9a-f]+)\Z")
WHOLE = 16_777_216  # characters of a payload that is wanted as a whole


class JobPages(BulkPages):
    """One job: everything about it, retry, edit, discard, cancel, stop retrying."""

    noun = "job"
    act_on: Callable[[HttpRequest, str, Iterable[str]], None]

    def get_urls(self) -> list[URLPattern]:
        """Add a job's page, and the form for its payload."""
        return [
            self.url("<path:object_id>/change/", self.change_view, "change"),
            self.url("<path:object_id>/edit/", self.edit_view, "edit"),
            *super().get_urls(),
        ]

    @guarded
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one job; do something to it by POST."""
        object_id = unquote(object_id)
        queue, id = place_of(object_id)
        if request.method == "POST":
            self.act_on_one(request, queue, object_id)
            return HttpResponseRedirect(self.list_of(request))
        reader = self.reader(request)
        job = shown.find_job(queue, id, reader) if queue else None
        if queue is None or job is None:
            return self.gone(request, object_id)
        limit = WHOLE if "all" in request.GET else shown.SHOWN
        payload = reader.payload_of(job.payload, limit + 1)
        return self.page(
            request,
            "jobrecord/detail.html",
            title=job.handler or _("Job without a handler"),
            trail=[(_("Jobs"), self.list_of(request))],
            job=job,
            state=STATES.get(job.state, job.state),
            **belonging(queue, job),
            stoppable=job.state in ("active", "scheduled"),
            object_id=object_id,
            attempts=job.errors[::-1],
            last=job.errors[-1] if job.errors else None,
            frames=frames.parts(job.errors[-1].traceback if job.errors else ""),
            payload=payload[:limit],
            cut=len(payload) > limit,
            result=reader.payload_of(job.result),
            edited=[(token, reader.payload_of(raw)) for token, raw in job.edited[::-1]],
            raw=raw_of(job) if reader.payload else "",
            alike=Selection(queue=job.queue, handler=job.handler, error=job.exception).query(),
            **(extra_context or {}),
        )

    @guarded
    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a failed job's payload in a form; retry it with another one by POST."""
        self.demand(request, "edit_job")
        self.demand(request, "view_job_payload")
        object_id = unquote(object_id)
        queue, id = place_of(object_id)
        job = queue.job(id) if queue else None
        if queue is None or job is None or job.state != "failed":
            return self.gone(request, object_id)
        draft, error = Draft(job.payload, self.reader(request).redactor), ""
        text = request.POST.get("payload", draft.text)
        if request.method == "POST":
            try:
                return self.edit(request, queue, job, draft)
            except (ValueError, PayloadError, UniqueHeld) as problem:
                error = str(problem)
        change = self.link("change", quote(object_id))
        return self.page(
            request,
            "jobrecord/edit.html",
            title=_("Edit and retry"),
            trail=[(_("Jobs"), self.link("changelist")), (job.handler or id, change)],
            job=job,
            draft=draft,
            text=text,
            error=error,
            back=change,
        )

    def edit(self, request: HttpRequest, queue: Queue, job: Job, draft: Draft) -> HttpResponse:
        """Retry a job with the payload of the form. Raises ValueError, PayloadError, UniqueHeld."""
        if request.POST.get("seen") != draft.seen:
            raise ValueError(_("Somebody else edited this payload meanwhile. Compare, then save."))
        payload = draft.read(request.POST.get("payload", ""))
        if not queue.edit(job.id, payload):
            messages.warning(request, _("The job had already moved on: nothing was changed."))
            return HttpResponseRedirect(self.link("changelist"))
        new = encode_payload(payload, handler=job.handler, queue=job.queue, limit=queue.max_payload)
        sizes = {"old": size(len(job.payload)), "new": size(len(new.encode()))}
        said = _("Edited the payload (%(old)s, now %(new)s) and retried.") % sizes
        self.record(request, [JobRecord(id=f"{job.queue}:{job.id}")], CHANGE, said)
        messages.success(request, _("The job is retried with the new payload."))
        return HttpResponseRedirect(self.link("changelist"))

    def act_on_one(self, request: HttpRequest, queue: Queue | None, object_id: str) -> None:
        """Do what the form says."""
        action = request.POST.get("action", "")
        if action not in ("retry", "discard", "cancel", "fail", "stop"):
            raise PermissionDenied
        self.demand(request, "cancel_job" if action in ("fail", "stop") else f"{action}_job")
        if action not in ("fail", "stop"):
            self.act_on(request, action, [object_id])
            return
        id = object_id.partition(":")[2]
        reason = _("Stopped by %(user)s.") % {"user": request.user.get_username()}
        if queue is None or not (queue.stop(id) if action == "stop" else queue.fail(id, reason)):
            messages.warning(request, _("The job had already moved on: nothing was changed."))
            return
        did = {"fail": _("Stopped retrying."), "stop": _("Told to stop.")}
        said = {
            "fail": _("The job is among the failed now."),
            "stop": _("The job was told to stop: within seconds it is among the failed."),
        }
        self.record(request, [JobRecord(id=object_id)], CHANGE, did[action])
        messages.success(request, said[action])

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return to the list, or to the page of the bulk work that the history links to."""
        if work := BULK.match(object_id):
            return HttpResponseRedirect(self.link("bulk", *work.groups()))
        said = _("There is no such job: it succeeded, was retried, or was discarded.")
        messages.warning(request, said)
        return HttpResponseRedirect(self.list_of(request))

    def list_of(self, request: HttpRequest) -> str:
        """Return the address of the list from which the user came."""
        selection = Selection.of(QueryDict(request.GET.get("list", "").lstrip("?")))
        return self.link("changelist") + selection.query()


def place_of(object_id: str) -> tuple[Queue | None, str]:
    """Return the queue and the id that a `queue:id` means."""
    name, _colon, id = object_id.partition(":")
    return known_queues().find(name) if id else None, id


def belonging(queue: Queue, job: Job) -> dict[str, Any]:
    """Return what a job has to do with others: room for it, its batch, its schedule."""
    found = batches.read(queue, [job.batch]) if job.batch else []
    return {
        "room": room_of(queue, job),
        "batch": found[0] if found else None,
        "schedule_id": f"{job.queue}:{job.schedule}",
    }


def raw_of(job: Job) -> str:
    """Return the record as JSON, without what stands elsewhere on the page."""
    fields = job.facts()
    for name in ("payload", "result", "errors", "edited"):
        del fields[name]
    return json.dumps(fields, indent=2, default=str, ensure_ascii=False)
