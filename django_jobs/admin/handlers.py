"""The page of what ran, by handler."""

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.redis_admin import RedisAdmin, guarded, known_queues
from django_jobs.monitor.history import by_handler

PERIODS = {
    "hour": (1, gettext_lazy("Last hour")),
    "day": (24, gettext_lazy("Last 24 hours")),
    "week": (168, gettext_lazy("Last 7 days")),
}


class HandlerPages(RedisAdmin):
    """The page of what ran, by handler."""

    def get_urls(self) -> list[URLPattern]:
        """Add the page."""
        return [self.url("handlers/", self.handlers_view, "handlers"), *super().get_urls()]

    @guarded
    def handlers_view(self, request: HttpRequest) -> HttpResponse:
        """Show runs, failures, durations and waits of each handler."""
        period = request.GET.get("time", "")
        period = period if period in PERIODS else "hour"
        known = known_queues()
        rows = [
            {
                "stats": stats,
                "took": [stats.took_at(share) for share in (0.5, 0.95)],
                "waited": [stats.waited_at(share) for share in (0.5, 0.95)],
            }
            for stats in by_handler(known.values(), PERIODS[period][0])
        ]
        return self.page(
            request,
            "jobqueue/handlers.html",
            title=_("Handlers"),
            trail=[(_("Queues"), self.link("changelist"))],
            rows=rows,
            missing=known.missing,
            period=period,
            periods={name: text for name, (_hours, text) in PERIODS.items()},
        )
