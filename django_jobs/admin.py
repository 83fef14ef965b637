"""The admin's pages: queues, and failed jobs.

Nothing here touches Redis outside these pages; without Redis they answer 503, and the rest of
the admin is not affected. Each page extends `admin/base_site.html` only.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis.exceptions import RedisError

from django_jobs import keys
from django_jobs import record as jobs
from django_jobs.conf import get_settings
from django_jobs.connection import get_queue, queue_names
from django_jobs.exceptions import JobsError
from django_jobs.models import JobQueue, JobRecord
from django_jobs.monitor import counts, pages, shown
from django_jobs.queue import Queue

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin

P = ParamSpec("P")
A = TypeVar("A", bound="RedisAdmin")
View = Callable[Concatenate[A, HttpRequest, P], HttpResponse]

FOLDER = "admin/django_jobs"


def guarded(view: "View[A, P]") -> "View[A, P]":
    """Let a view be seen by who may view it; turn errors of Redis into a page."""

    @wraps(view)
    def inner(self: A, request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            return view(self, request, *args, **kwargs)
        except (RedisError, JobsError, OSError) as error:
            return self.unreachable(request, error)

    return inner


class RedisAdmin(Base):
    """What both have in common: no forms of the admin's own, permissions by short names."""

    noun = ""

    def may(self, request: HttpRequest, what: str) -> bool:
        """Say whether the user has a permission of this app, as in `retry_job`."""
        return request.user.has_perm(f"django_jobs.{what}")  # type: ignore[union-attr]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for `view_job`, not for `view_jobrecord`."""
        return self.may(request, f"view_{self.noun}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody may: the admin's form would write to a table that is not there."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may, see above."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may, see above."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Return our pages only; the stock views behind the others know nothing of Redis."""
        return [self.url("", self.changelist_view, "changelist")]

    def url(self, route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        """Return the URL of a page, named as the admin names it."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(route, self.admin_site.admin_view(view), name=name)

    def page(
        self, request: HttpRequest, template: str, status: int = 200, **context: Any
    ) -> HttpResponse:
        """Return a page of this site."""
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"{FOLDER}/{template}", context, status=status)

    def unreachable(self, request: HttpRequest, error: Exception) -> HttpResponse:
        """Return the page that says Redis did not answer."""
        title = _("Redis can't be reached")
        return self.page(request, "unreachable.html", 503, title=title, error=str(error))

    def record(
        self, request: HttpRequest, objects: Sequence[Model], flag: int, message: str
    ) -> None:
        """Write to the admin's history what the user did."""
        if objects and (user := request.user.pk) is not None:
            LogEntry.objects.log_actions(user, objects, flag, message)


class JobQueueAdmin(RedisAdmin):
    """Queues: counts, pause and resume."""

    noun = "queue"

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the queues; pause or resume one by POST."""
        if request.method == "POST":
            self.switch(request)
            return HttpResponseRedirect(request.get_full_path())
        return self.page(
            request,
            "jobqueue/list.html",
            title=_("Queues"),
            queues=counts.all_stats(known_queues().values()),
            may_pause=self.may(request, "pause_queue"),
            may_view_jobs=self.may(request, "view_job"),
            **(extra_context or {}),
        )

    def switch(self, request: HttpRequest) -> None:
        """Pause or resume the queue that the form names."""
        if not self.may(request, "pause_queue"):
            raise PermissionDenied
        pause = "pause" in request.POST
        name = request.POST.get("pause" if pause else "resume", "")
        queue = known_queues().get(name)
        if queue is None:
            messages.warning(request, _("There is no such queue."))
            return
        if not (queue.pause() if pause else queue.resume()):
            messages.warning(request, _("Somebody else was faster: nothing was changed."))
            return
        self.record(request, [JobQueue(id=name)], CHANGE, _("Paused.") if pause else _("Resumed."))
        said = _("The queue %(queue)s is paused.") if pause else _("The queue %(queue)s goes on.")
        messages.success(request, said % {"queue": name})


class JobRecordAdmin(RedisAdmin):
    """Failed jobs: list and detail, retry and discard."""

    noun = "job"

    def get_urls(self) -> list[URLPattern]:
        """Add a job's page and its history."""
        return [
            *super().get_urls(),
            self.url("<path:object_id>/change/", self.change_view, "change"),
            self.url("<path:object_id>/history/", self.history_view, "history"),
        ]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> JobRecord | None:
        """Return a stand-in, also for a job that is gone: its history is not."""
        return JobRecord(id=object_id) if ":" in object_id else None

    @guarded
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show failed jobs, newest first; retry or discard the selected ones by POST."""
        if request.method == "POST":
            self.act(request, request.POST.getlist("job"))
            return HttpResponseRedirect(request.get_full_path())
        queues, name = known_queues(), request.GET.get("queue", "")
        chosen = [queue for queue in queues.values() if name in ("", queue.name)]
        after = pages.Position.parse(request.GET.get("before", ""))
        page = pages.page(
            pages.failed(chosen),
            self.reader(request),
            after=after,
            before=pages.Position.parse(request.GET.get("after", "")),
        )
        return self.page(
            request,
            "jobrecord/list.html",
            title=_("Failed jobs"),
            page=page,
            queues=list(queues),
            queue=name,
            total=sum(stats.failed for stats in counts.all_stats(chosen).values()),
            first=after is None and not page.before,
            **self.rights(request),
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
        """Show one job; retry or discard it by POST."""
        object_id = unquote(object_id)
        back = reverse("admin:django_jobs_jobrecord_changelist", current_app=self.admin_site.name)
        if request.method == "POST":
            self.act(request, [object_id])
            return HttpResponseRedirect(back)
        rights = self.rights(request)
        reader = self.reader(request)
        found = self.find(object_id, reader)
        if found is None:
            messages.warning(request, _("There is no such job: it succeeded or was discarded."))
            return HttpResponseRedirect(back)
        return self.page(
            request,
            "jobrecord/detail.html",
            title=_("Job %(id)s") % {"id": found.id},
            job=found,
            errors=found.errors[::-1],
            payload=reader.payload_of(found.payload),
            object_id=object_id,
            is_failed=found.state == "failed",
            **rights,
            **(extra_context or {}),
        )

    @guarded
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what users did to a job."""
        return super().history_view(request, quote(unquote(object_id)), extra_context)

    def rights(self, request: HttpRequest) -> dict[str, bool]:
        """Say what the user may do with jobs."""
        return {
            "may_retry": self.may(request, "retry_job"),
            "may_discard": self.may(request, "discard_job"),
            "may_view_payload": self.may(request, "view_job_payload"),
        }

    def reader(self, request: HttpRequest) -> shown.Reader:
        """Return who looks."""
        return shown.Reader(get_settings().redactor, payload=self.may(request, "view_job_payload"))

    def find(self, object_id: str, reader: shown.Reader) -> jobs.JobRecord | None:
        """Return a job by `queue:id`."""
        name, _colon, id = object_id.partition(":")
        queue = known_queues().get(name)
        return shown.find_job(queue, id, reader) if queue and id else None

    def act(self, request: HttpRequest, object_ids: Iterable[str]) -> None:
        """Retry or discard jobs, as the form says; those no longer failed are left alone."""
        action = request.POST.get("action", "")
        if action not in ("retry", "discard") or not self.may(request, f"{action}_job"):
            raise PermissionDenied
        retry = action == "retry"
        queues, wanted = known_queues(), list(dict.fromkeys(object_ids))
        done: list[JobRecord] = []
        try:
            for object_id in wanted:
                name, _colon, id = object_id.partition(":")
                queue = queues.get(name)
                if queue and (queue.retry(id) if retry else queue.discard(id)):
                    done.append(JobRecord(id=object_id))
        finally:  # Redis may have gone half way
            flag, text = (CHANGE, _("Retried.")) if retry else (DELETION, _("Discarded."))
            self.record(request, done, flag, text)
        self.tell(request, len(done), len(wanted) - len(done), retry=retry)

    def tell(self, request: HttpRequest, done: int, left: int, *, retry: bool) -> None:
        """Say what was done, and what was not."""
        if not done and not left:
            messages.warning(request, _("No job was selected."))
        if done:
            retried = ngettext("%(n)d job is retried.", "%(n)d jobs are retried.", done)
            gone = ngettext("%(n)d job was discarded.", "%(n)d jobs were discarded.", done)
            messages.success(request, (retried if retry else gone) % {"n": done})
        if left:
            one = "%(n)d job had already moved on and was left alone."
            many = "%(n)d jobs had already moved on and were left alone."
            messages.warning(request, ngettext(one, many, left) % {"n": left})


def known_queues() -> dict[str, Queue]:
    """Return every queue of this project by its name. Raises RedisError."""
    return {name: get_queue(name) for name in queue_names() if name not in keys.RESERVED_NAMES}


def register(site: admin.AdminSite = admin.site) -> None:
    """Add our pages to a site that does not have them; a project with its own site calls this."""
    for model, model_admin in ((JobQueue, JobQueueAdmin), (JobRecord, JobRecordAdmin)):
        if not site.is_registered(model):
            site.register(model, model_admin)


register()
