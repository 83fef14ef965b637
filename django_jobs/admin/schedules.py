"""The pages of schedules: when they are due, what became of their jobs; run now, pause, resume."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.redis_admin import Known, RedisAdmin, guarded, known_queues
from django_jobs.models import JobSchedule
from django_jobs.monitor.schedules import all_schedules
from django_jobs.queue import Queue

MISSED = {
    "once": gettext_lazy("One job is pushed for all that was missed."),
    "skip": gettext_lazy("What was missed is left out."),
}
RIGHTS = {"run": "run_schedule", "pause": "pause_schedule", "resume": "pause_schedule"}


class JobScheduleAdmin(RedisAdmin):
    """Schedules: run now, pause, resume."""

    noun = "schedule"

    def get_urls(self) -> list[URLPattern]:
        """Add a schedule's page."""
        change = self.url("<path:object_id>/change/", self.change_view, "change")
        return [change, *super().get_urls()]

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the schedules; do something to one by POST."""
        known = known_queues()
        if request.method == "POST":
            self.act(request, known, request.POST.get("schedule", ""))
            return HttpResponseRedirect(request.get_full_path())
        return self.page(
            request,
            "jobschedule/list.html",
            title=_("Schedules"),
            rows=all_schedules(known.values()),
            missing=known.missing,
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
        """Show one schedule; do something to it by POST."""
        known, object_id = known_queues(), unquote(object_id)
        if request.method == "POST":
            self.act(request, known, object_id)
            return HttpResponseRedirect(request.get_full_path())
        queue, name = place_of(known, object_id)
        row = next(iter(all_schedules([queue], name)), None) if queue and name else None
        if row is None:
            messages.warning(request, _("There is no such schedule."))
            return HttpResponseRedirect(self.link("changelist"))
        schedule, reader = row.schedule, self.reader(request)
        return self.page(
            request,
            "jobschedule/detail.html",
            title=schedule.name,
            trail=[(_("Schedules"), self.link("changelist"))],
            row=row,
            schedule=schedule,
            missed=MISSED.get(schedule.missed, schedule.missed),
            payload=reader.payload_of(schedule.payload),
            options=[
                (name, reader.text(value))
                for name, value in schedule.options.items()
                if reader.payload
            ],
            **(extra_context or {}),
        )

    def act(self, request: HttpRequest, known: Known, object_id: str) -> None:
        """Do to a schedule what the form says."""
        action = request.POST.get("action", "")
        if action not in RIGHTS:
            raise PermissionDenied
        self.demand(request, RIGHTS[action])
        queue, name = place_of(known, object_id)
        if not queue or not getattr(queue, f"{action}_schedule")(name):
            messages.warning(request, _("It had changed meanwhile: nothing was done."))
            return
        did = {"run": _("Ran it now."), "pause": _("Paused."), "resume": _("Resumed.")}
        said = {
            "run": _("A job of %(name)s was pushed."),
            "pause": _("The schedule %(name)s is paused."),
            "resume": _("The schedule %(name)s goes on."),
        }
        self.record(request, [JobSchedule(id=object_id)], CHANGE, did[action])
        messages.success(request, said[action] % {"name": name})


def place_of(known: Known, object_id: str) -> tuple[Queue | None, str]:
    """Return the queue and the name that a `queue:name` means."""
    queue, _colon, name = object_id.partition(":")
    return known.find(queue), name
