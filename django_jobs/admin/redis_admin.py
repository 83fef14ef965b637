"""What all our pages have in common: permissions, names, history, and no Redis no page."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import django
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from django_jobs import keys
from django_jobs.conf import get_settings
from django_jobs.connection import declared_queues, get_client, get_queue, redis_urls
from django_jobs.exceptions import JobsError
from django_jobs.monitor.shown import Reader
from django_jobs.queue import Queue

if TYPE_CHECKING:
    Stock = admin.ModelAdmin[Any]
else:
    Stock = admin.ModelAdmin

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
            title = _("Redis can't be reached")
            return self.page(request, "unreachable.html", 503, title=title, error=str(error))

    return inner


class RedisAdmin(Stock):
    """No forms of the admin's own, permissions by short names, pages of our own."""

    noun = ""
    object_history_template = f"{FOLDER}/history.html"

    def may(self, request: HttpRequest, what: str) -> bool:
        """Say whether the user has a permission of this app, as in `retry_job`."""
        return request.user.has_perm(f"django_jobs.{what}")  # type: ignore[union-attr]

    def demand(self, request: HttpRequest, what: str) -> None:
        """Refuse who does not have a permission of this app."""
        if not self.may(request, what):
            raise PermissionDenied

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
        return [
            self.url("", self.changelist_view, "changelist"),
            self.url("<path:object_id>/history/", self.history_view, "history"),
        ]

    def url(self, route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        """Return the URL of a page, named as the admin names it."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(route, self.admin_site.admin_view(view), name=name)

    def link(self, name: str, *args: str) -> str:
        """Return the address of one of this model's pages."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(name, args=args, current_app=self.admin_site.name)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Model | None:
        """Return a stand-in, also for what is gone: its history is not."""
        stand_in: Model = self.model(id=object_id)
        return stand_in

    @guarded
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what users did to an object."""
        return super().history_view(request, quote(unquote(object_id)), extra_context)

    def page(
        self,
        request: HttpRequest,
        template: str,
        status: int = 200,
        *,
        trail: Sequence[tuple[str, str]] = (),
        missing: Sequence[str] = (),
        **context: Any,
    ) -> HttpResponse:
        """Return a page of this site; `trail` is what stands between the app and its title.

        `missing` are the queues that it leaves out, as their Redis does not answer.
        """
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "trail": trail,
            "missing": missing,
            "trail_is_list": django.VERSION >= (6, 1),
            **context,
        }
        return TemplateResponse(request, f"{FOLDER}/{template}", context, status=status)

    def reader(self, request: HttpRequest) -> Reader:
        """Return who looks."""
        return Reader(get_settings().redactor, payload=self.may(request, "view_job_payload"))

    def record(
        self, request: HttpRequest, objects: Sequence[Model], flag: int, message: str
    ) -> None:
        """Write to the admin's history what the user did."""
        if objects and (user := request.user.pk) is not None:
            LogEntry.objects.log_actions(user, objects, flag, message)


class Known(dict[str, Queue]):
    """Queues by their names, but for those whose Redis does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: dict[str, Exception] = {}  # by URL
        self.missing: list[str] = []

    def find(self, name: str) -> Queue | None:
        """Return a queue; None if there is none. Raises the error of a Redis that is silent."""
        if error := self.silent.get(get_settings().url(name)):
            raise error
        return self.get(name)


def known_queues() -> Known:
    """Return every queue of this project. Raises RedisError, OSError if no Redis answers."""
    known, names, settings = Known(), declared_queues(), get_settings()
    for url in redis_urls(names):
        try:
            members: set[Any] = get_client(url).smembers(keys.queues(settings.PREFIX))
        except (RedisError, OSError) as error:
            known.silent[url] = error
            continue
        names |= {member.decode("utf-8", "replace") for member in members}
    for name in sorted(name for name in names if is_name(name)):
        if settings.url(name) in known.silent:
            known.missing.append(name)
        else:
            known[name] = get_queue(name)
    if not known:
        raise next(iter(known.silent.values()))
    return known


def is_name(name: str) -> bool:
    """Say whether a queue can have a name."""
    return bool(keys.QUEUE_NAME.match(name)) and name not in keys.RESERVED_NAMES
