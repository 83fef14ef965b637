"""What of all jobs a list shows: the filters of its address, and the jobs that match them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.monitor import groups, pages
from django_jobs.monitor.counts import server_time
from django_jobs.queue import Queue
from django_jobs.templatetags.django_jobs import class_name

STATES = {
    "failed": gettext_lazy("Failed"),
    "scheduled": gettext_lazy("Scheduled"),
    "waiting": gettext_lazy("Waiting"),
    "running": gettext_lazy("Running"),
    "succeeded": gettext_lazy("Succeeded"),
}
SEARCHED = ("failed", "scheduled", "succeeded")
TIMES = {
    "hour": (3_600_000, gettext_lazy("Last hour")),
    "day": (86_400_000, gettext_lazy("Last 24 hours")),
    "week": (604_800_000, gettext_lazy("Last 7 days")),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters of a list, "" for none; those that a state does not know are dropped."""

    state: str = "failed"
    queue: str = ""
    handler: str = ""
    error: str = ""
    time: str = ""
    q: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Selection":
        """Read the parameters of an address, whatever they are."""
        state = query.get("state", "failed")
        state = state if state in STATES else "failed"
        given = {name: query.get(name, "") for name in ("queue", "handler", "error", "q")}
        if state != "failed":
            given |= {"handler": "", "error": ""}
        time = query.get("time", "")
        given["time"] = time if state == "failed" and time in TIMES else ""
        given["q"] = given["q"].strip() if state in SEARCHED else ""
        return cls(state, **given)

    def query(self, **changes: str) -> str:
        """Return the address of the list with some filters changed, from its `?` on."""
        found = {name: value for name, value in asdict(replace(self, **changes)).items() if value}
        if found.get("state") == "failed":
            del found["state"]
        return "?" + urlencode(found)

    @property
    def narrowed(self) -> bool:
        """Say whether any filter is set."""
        return any((self.queue, self.handler, self.error, self.time, self.q))

    def since(self, now: float) -> float:
        """Return from when on a failure counts; `now` and the answer in ms."""
        return now - TIMES[self.time][0] if self.time else -math.inf

    def queues(self, known: Mapping[str, Queue]) -> list[Queue]:
        """Return the queues that match."""
        return [queue for name, queue in known.items() if self.queue in ("", name)]

    def sources(
        self, known: Mapping[str, Queue], now: float, until: float = math.inf
    ) -> list[pages.Source]:
        """Return where the jobs that match stand; `now` in ms. Raises RedisError."""
        chosen = self.queues(known)
        if self.state == "scheduled":
            return pages.scheduled(chosen)
        if self.state == "succeeded":
            return pages.succeeded(chosen, now)
        since = self.since(now)
        if self.handler or self.error:
            found = groups.failure_groups(chosen, handler=self.handler, exception=self.error)
            sources = pages.failed_of(found, since)
        else:
            sources = pages.failed(chosen, since)
        return [replace(source, until=until) for source in sources]

    def sentence(self) -> str:
        """Say in words which failed jobs match."""
        words = [
            (_("queue %s"), self.queue),
            (_("handler %s"), self.handler),
            (_("error %s"), self.error),
            ("%s", str(TIMES[self.time][1]) if self.time else ""),
        ]
        return ", ".join(text % value for text, value in words if value) or _("all failed jobs")


@dataclass(frozen=True, slots=True)
class Choice:
    """One link of a filter; `title` is its whole text."""

    text: str
    query: str
    chosen: bool
    count: int | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """One block of the filter column; `more` are the choices that few need."""

    title: str
    choices: list[Choice]
    more: list[Choice]


TOP = 9


class Failures:
    """The groups of failed jobs, counted within the time of a selection."""

    def __init__(self, selection: Selection, known: Mapping[str, Queue]) -> None:
        self.selection = selection
        self.now = server_time(next(iter(known.values())))
        found = groups.failure_groups(known.values())
        since = selection.since(self.now)
        self.counted = groups.counted(found, since) if selection.time else found

    def matching(self, *without: str) -> list[groups.Group]:
        """Return the groups that match all filters but some."""
        wanted = {
            name: "" if name in without else getattr(self.selection, name)
            for name in ("queue", "handler", "error")
        }
        return [
            group
            for group in self.counted
            if wanted["queue"] in ("", group.queue.name)
            and wanted["handler"] in ("", group.handler)
            and wanted["error"] in ("", group.exception)
        ]

    def filters(self) -> list[Filter]:
        """Return the filter column, its counts those of the other filters."""
        return [
            self._times(),
            self._filter("queue", _("By queue"), lambda group: group.queue.name),
            self._filter("handler", _("By handler"), lambda group: group.handler),
            self._filter("error", _("By error"), lambda group: group.exception),
        ]

    def _times(self) -> Filter:
        chosen = self.selection
        choices = [Choice(_("All"), chosen.query(time=""), not chosen.time)]
        for name, (_length, text) in TIMES.items():
            choices.append(Choice(str(text), chosen.query(time=name), chosen.time == name))
        return Filter(_("By time of failure"), choices, [])

    def _filter(self, name: str, title: str, value_of: Any) -> Filter:
        counts: Counter[str] = Counter()
        for group in self.matching(name):
            counts[value_of(group)] += group.count
        return choices_of(self.selection, name, title, counts)


def choices_of(
    selection: Selection, name: str, title: str, counts: Mapping[str, int | None]
) -> Filter:
    """Return a filter by the values of one name, the most frequent first."""
    chosen = getattr(selection, name)
    values = sorted(counts, key=lambda value: (-(counts[value] or 0), value))
    if chosen and chosen not in counts:
        values.insert(0, chosen)
    found = [
        Choice(
            class_name(value) if name == "error" else value,
            selection.query(**{name: value}),
            value == chosen,
            counts.get(value, 0),
            value,
        )
        for value in values
        if value
    ]
    all_of_them = Choice(_("All"), selection.query(**{name: ""}), not chosen)
    return Filter(title, [all_of_them, *found[:TOP]], found[TOP:])


def queue_filter(selection: Selection, known: Iterable[str]) -> list[Filter]:
    """Return the filter column of states that have no groups."""
    names: Sequence[str] = sorted(known)
    return [choices_of(selection, "queue", _("By queue"), dict.fromkeys(names))]
