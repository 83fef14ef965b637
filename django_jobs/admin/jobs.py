"""The list of jobs, and what is done to several of them."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote as urlquote

from django.contrib import messages
from django.contrib.admin.models import CHANGE, DELETION
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs import bulk
from django_jobs.admin import charts
from django_jobs.admin.bulk import left_alone, outcome, spread_of
from django_jobs.admin.job import JobPages
from django_jobs.admin.redis_admin import guarded, known_queues
from django_jobs.admin.selection import SEARCHED, STATES, Failures, Selection, queue_filter
from django_jobs.exceptions import UniqueHeld
from django_jobs.models import JobRecord
from django_jobs.monitor import counts, groups, live, pages
from django_jobs.monitor.reading import number as number_of
from django_jobs.queue import Queue
from django_jobs.record import moment
from django_jobs.templatetags.django_jobs import number

TITLES = {
    "failed": gettext_lazy("Failed jobs"),
    "scheduled": gettext_lazy("Scheduled jobs"),
    "waiting": gettext_lazy("Waiting jobs"),
    "running": gettext_lazy("Running jobs"),
    "succeeded": gettext_lazy("Succeeded jobs"),
}
JOB_ID = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Tab:
    """One state of the list."""

    name: str
    text: str
    query: str
    count: int
    chosen: bool


class JobRecordAdmin(JobPages):
    """Jobs in any state: list, page of one, retry, edit, discard, cancel."""

    bulk_rights: ClassVar = {"retry": "retry_job", "discard": "discard_job"}

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show jobs of one state; act on those picked, or on all that match, by POST."""
        selection, known = Selection.of(request.GET), known_queues()
        if request.method == "POST":
            return self.act(request, selection, known)
        found, now = tabs(selection, known), counts.server_time(next(iter(known.values())))
        if place := find(selection.q, known):
            return HttpResponseRedirect(self.link("change", quote(place)))
        return self.page(
            request,
            "jobrecord/list.html",
            title=TITLES[selection.state],
            missing=known.missing,
            selection=selection,
            tabs=found,
            text={f"tab:{tab.name}": number(tab.count) for tab in found},
            live_url=self.link("live") + selection.query() + f"&since={now!r}",
            **self.listed(request, selection, known),
            **(extra_context or {}),
        )

    def get_urls(self) -> list[URLPattern]:
        """Add what changes while one looks at the list."""
        return [self.url("live/", self.live_view, "live"), *super().get_urls()]

    @guarded
    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with the counts, and how many failed since the page was made."""
        selection, known = Selection.of(request.GET), known_queues()
        text = {f"tab:{tab.name}": number(tab.count) for tab in tabs(selection, known)}
        since = moment_of(request.GET.get("since", ""))
        if since and selection.state == "failed" and not selection.q:
            count = failures_since(since, selection, known)
            one, many = "%(n)s new failure: show", "%(n)s new failures: show"
            text["news"] = ngettext(one, many, count) % {"n": number(count)} if count else ""
        return JsonResponse({"text": text, "paths": {}, "shape": ""})

    def listed(
        self, request: HttpRequest, selection: Selection, known: dict[str, Queue]
    ) -> dict[str, Any]:
        """Return the page of jobs, and what stands around it."""
        page = self.jobs(request, selection, known)
        cursors = {name for name in ("before", "after", "start") if name in request.GET}
        found = {
            "page": page,
            "first": not cursors,
            "now": selection.query(),
            "cleared": Selection(selection.state).query(),
            "origin": origin(selection),
            "searchable": selection.state in SEARCHED,
            "choosing": self.choosing(request, selection.state),
            "back": selection.query() + cursor(selection, "before", page.before),
            "on": selection.query() + cursor(selection, "after", page.after),
        }
        if selection.state != "failed":
            return found | {"filters": queue_filter(selection, known)}
        failures = Failures(selection, known)
        matching = failures.matching()
        found |= {"filters": failures.filters(), "total": sum(group.count for group in matching)}
        if found["first"] and not selection.q:
            found |= {"errors": errors(selection, failures), "more_errors": len(matching) - 5}
        return found

    def choosing(self, request: HttpRequest, state: str) -> bool:
        """Say whether the user may do anything to jobs of a state that are picked."""
        rights = {
            "failed": ("retry_job", "discard_job"),
            "scheduled": ("cancel_job",),
            "waiting": ("cancel_job",),
        }
        return any(self.may(request, right) for right in rights.get(state, ()))

    def jobs(
        self, request: HttpRequest, selection: Selection, known: dict[str, Queue]
    ) -> pages.Page:
        """Return the rows wanted."""
        get, reader, chosen = request.GET.get, self.reader(request), selection.queues(known)
        if selection.state == "running":
            return live.running_page(chosen)
        if selection.state == "waiting":
            return live.waiting_page(chosen, number_of(get("start", "").encode()))
        now = counts.server_time(next(iter(known.values())))
        sources = selection.sources(known, now)
        after = pages.Position.parse(get("after", ""))
        if selection.q:
            return pages.search(sources, selection.q, reader, after=after)
        return pages.page(
            sources,
            reader,
            before=pages.Position.parse(get("before", "")),
            after=after,
            newest_first=selection.state != "scheduled",
        )

    def act(
        self, request: HttpRequest, selection: Selection, known: dict[str, Queue]
    ) -> HttpResponse:
        """Do what the form says, to the jobs picked or to all that match."""
        action, _dash, everything = request.POST.get("action", "").partition("-")
        if f"{action}_job" not in ("retry_job", "discard_job", "cancel_job"):
            raise PermissionDenied
        self.demand(request, f"{action}_job")
        if everything:
            return self.act_on_all(request, action, selection, known)
        self.act_on(request, action, request.POST.getlist("job"))
        return HttpResponseRedirect(request.get_full_path())

    def act_on_all(
        self, request: HttpRequest, action: str, selection: Selection, known: dict[str, Queue]
    ) -> HttpResponse:
        """Ask whether to retry or discard all that match; begin once that is confirmed."""
        if action not in self.bulk_rights or selection.state != "failed" or selection.q:
            raise PermissionDenied
        failures = Failures(selection, known)
        until = moment_of(request.POST.get("until", "")) or failures.now
        sources = selection.sources(known, until, until)
        work = bulk.of_failed(action, sources, what=selection.sentence())
        if not work.total:
            messages.warning(request, _("No job matches any more."))
            return HttpResponseRedirect(self.link("changelist") + selection.query())
        if "until" in request.POST:
            work.who, work.spread = request.user.get_username(), float(spread_of(request))
            return self.begin(request, work, JobRecord(id=""))
        return self.ask(
            request,
            action,
            work.total,
            trail=[(_("Jobs"), self.link("changelist"))],
            groups=failures.matching(),
            until=repr(until),
            back=self.link("changelist") + selection.query(),
        )

    def act_on(self, request: HttpRequest, action: str, object_ids: Iterable[str]) -> None:
        """Retry, discard or cancel jobs; those in another state by now are left alone."""
        queues, wanted = known_queues(), list(dict.fromkeys(object_ids))
        done: list[JobRecord] = []
        held = 0
        try:
            for object_id in wanted:
                name, _colon, id = object_id.partition(":")
                try:
                    if (queue := queues.find(name)) and getattr(queue, action)(id):
                        done.append(JobRecord(id=object_id))
                except UniqueHeld:
                    held += 1
        finally:  # Redis may have gone half way
            words = {"retry": _("Retried."), "discard": _("Discarded."), "cancel": _("Cancelled.")}
            self.record(request, done, CHANGE if action == "retry" else DELETION, words[action])
        if not wanted:
            messages.warning(request, _("No job was selected."))
        if done:
            messages.success(request, outcome(action, len(done)))
        if held:
            one = "%(n)s job stays: another one of its unique key waits or runs."
            many = "%(n)s jobs stay: others of their unique keys wait or run."
            messages.warning(request, ngettext(one, many, held) % {"n": number(held)})
        if left := len(wanted) - len(done) - held:
            messages.warning(request, left_alone(left))


def tabs(selection: Selection, known: dict[str, Queue]) -> list[Tab]:
    """Return the states, with how many jobs are in each."""
    stats = list(counts.all_stats(selection.queues(known)).values())
    found = {
        "failed": sum(one.failed for one in stats),
        "scheduled": sum(one.scheduled for one in stats),
        "waiting": sum(one.active for one in stats),
        "running": sum(one.processing for one in stats),
        "succeeded": sum(one.succeeded for one in stats),
    }
    return [
        Tab(name, str(text), selection.query(state=name), found[name], name == selection.state)
        for name, text in STATES.items()
    ]


def failures_since(since: float, selection: Selection, known: dict[str, Queue]) -> int:
    """Return how many jobs that match failed since a time (ms)."""
    now = counts.server_time(next(iter(known.values())))
    found = selection.sources(known, now)
    return sum(
        n for _, n in pages.counts(replace(one, since=max(one.since, since)) for one in found)
    )


def errors(selection: Selection, failures: Failures) -> list[dict[str, Any]]:
    """Return the five most frequent errors that match."""
    top = failures.matching()[:5]
    hours = groups.failures_by_hour(top, failures.now)
    return [
        {
            "group": group,
            "query": selection.query(
                queue=group.queue.name, handler=group.handler, error=group.exception
            ),
            "line": charts.line(by_hour),
            "latest": moment(newest),
        }
        for group, by_hour, newest in zip(top, hours, groups.latest(top), strict=True)
    ]


def find(text: str, known: dict[str, Queue]) -> str:
    """Return the `queue:id` of the job whose id a text is; "" if it is none."""
    name, colon, id = text.partition(":")
    if colon and name in known and known[name].job(id):
        return text
    if not JOB_ID.match(text):
        return ""
    return next((f"{name}:{text}" for name, queue in known.items() if queue.job(text)), "")


def cursor(selection: Selection, name: str, value: str) -> str:
    """Return what leads to the page around; "" if there is none."""
    if selection.state == "waiting":
        name, value = "start", value if value != "0" else ""
    return f"&{name}={urlquote(value, safe='')}" if value else ""


def moment_of(text: str) -> float:
    """Return a time in ms that a form brings back; 0 if it is none."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def origin(selection: Selection) -> str:
    """Return what lets a job's page lead back to this list."""
    query = selection.query()
    return f"?list={urlquote(query, safe='')}" if query != Selection().query() else ""
