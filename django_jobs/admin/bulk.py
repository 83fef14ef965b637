"""Work on many jobs: the page that asks first, and the page that does it step by step."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.admin.models import CHANGE, DELETION
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs import bulk
from django_jobs.admin.redis_admin import RedisAdmin, guarded, known_queues
from django_jobs.connection import get_queue
from django_jobs.templatetags.django_jobs import number

TITLES = {
    "retry": gettext_lazy("Retrying jobs"),
    "discard": gettext_lazy("Discarding jobs"),
    "empty": gettext_lazy("Deleting waiting jobs"),
}
SPREADS = {
    0: gettext_lazy("All at once"),
    60: gettext_lazy("Over 1 minute"),
    600: gettext_lazy("Over 10 minutes"),
    3600: gettext_lazy("Over 1 hour"),
}


def question(action: str, count: int) -> str:
    """Return what is asked before many jobs are touched, without the question mark."""
    words = {
        "retry": ngettext("Retry %(n)s job", "Retry %(n)s jobs", count),
        "discard": ngettext("Discard %(n)s job", "Discard %(n)s jobs", count),
        "empty": ngettext("Delete %(n)s waiting job", "Delete %(n)s waiting jobs", count),
    }
    return words[action] % {"n": number(count)}


def outcome(action: str, count: int) -> str:
    """Return what was done."""
    words = {
        "retry": ngettext("%(n)s job is retried.", "%(n)s jobs are retried.", count),
        "discard": ngettext("%(n)s job was discarded.", "%(n)s jobs were discarded.", count),
        "empty": ngettext("%(n)s job was deleted.", "%(n)s jobs were deleted.", count),
        "cancel": ngettext("%(n)s job was cancelled.", "%(n)s jobs were cancelled.", count),
    }
    return words[action] % {"n": number(count)}


def left_alone(count: int) -> str:
    """Say that some jobs were not in the state in which they were seen."""
    one = "%(n)s job had already moved on and was left alone."
    many = "%(n)s jobs had already moved on and were left alone."
    return ngettext(one, many, count) % {"n": number(count)} if count else ""


class BulkPages(RedisAdmin):
    """The pages of work on many jobs; `bulk_rights` says who may do what of it."""

    bulk_rights: ClassVar[Mapping[str, str]] = {}

    def get_urls(self) -> list[URLPattern]:
        """Add the page that does it."""
        return [self.url("bulk/<str:queue>/<str:id>/", self.bulk_view, "bulk"), *super().get_urls()]

    def ask(self, request: HttpRequest, action: str, count: int, **context: Any) -> HttpResponse:
        """Return the page that asks."""
        return self.page(
            request,
            "confirm.html",
            title=question(action, count) + "?",
            action=action,
            count=count,
            button=question(action, count),
            spreads=SPREADS if action == "retry" else {},
            **context,
        )

    def begin(self, request: HttpRequest, work: bulk.Bulk, target: Any) -> HttpResponse:
        """Keep the work, note who wanted it, and go to its page."""
        name = work.parts[0].queue
        bulk.save(get_queue(name), work)
        target.id = target.id or f"{name}:bulk:{work.id}"
        said = f"{question(work.action, work.total)}: {work.what}."
        self.record(request, [target], CHANGE if work.action == "retry" else DELETION, said)
        return HttpResponseRedirect(self.link("bulk", name, work.id))

    @guarded
    def bulk_view(self, request: HttpRequest, queue: str, id: str) -> HttpResponse:
        """Show how far the work is; do a step by POST."""
        home = known_queues().find(queue)
        work = bulk.load(home, id) if home else None
        right = self.bulk_rights.get(work.action) if work else None
        if home is None or work is None or right is None:
            raise Http404(_("This work is over and forgotten."))
        self.demand(request, right)
        if request.method == "POST":
            work = bulk.go_on(home, id, get_queue) or work
            if "application/json" not in request.headers.get("Accept", ""):
                return HttpResponseRedirect(request.path)
        progress = {
            "done": work.done + work.skipped,
            "total": work.total,
            "over": work.over,
            "said": self.said(work),
        }
        if request.method == "POST":
            return JsonResponse(progress)
        plural = str(self.opts.verbose_name_plural).capitalize()
        return self.page(
            request,
            "bulk.html",
            title=TITLES[work.action],
            trail=[(plural, self.link("changelist"))],
            work=work,
            progress=progress,
        )

    def said(self, work: bulk.Bulk) -> str:
        """Say how far the work is, or how it ended."""
        if work.over:
            return f"{outcome(work.action, work.done)} {left_alone(work.skipped)}".strip()
        done = {"done": number(work.done + work.skipped), "total": number(work.total)}
        return _("%(done)s of %(total)s") % done


def spread_of(request: HttpRequest) -> int:
    """Return over how many seconds the form wants to spread a retry."""
    wanted = request.POST.get("spread", "")
    return next((seconds for seconds in SPREADS if str(seconds) == wanted), 0)
