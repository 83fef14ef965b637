"""Numbers, durations and times in words, and what a page keeps up to date."""

import re
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.monitor.limits import InForce

register = template.Library()

MINUTE, HOUR, DAY = 60, 3600, 86_400
NONE = "\N{EN DASH}"


@register.filter
def number(value: float) -> str:
    """Write a number as the language does, in groups of digits."""
    return number_format(value, force_grouping=True)


@register.filter
def duration(seconds: float) -> str:
    """Write a duration with at most two digits that matter: 600 ms, 1.4 s, 15 min, 2 days."""
    if seconds < 0.9995:
        return _("%(n)s ms") % {"n": number(round(seconds * 1000))}
    if seconds < 9.95:
        return _("%(n)s s") % {"n": number_format(round(seconds, 1), 1)}
    if seconds < 2 * MINUTE:
        return _("%(n)s s") % {"n": round(seconds)}
    if seconds < 2 * HOUR:
        return _("%(n)s min") % {"n": round(seconds / MINUTE)}
    if seconds < 2 * DAY:
        return _("%(n)s h") % {"n": round(seconds / HOUR)}
    days = round(seconds / DAY)
    return ngettext("%(n)s day", "%(n)s days", days) % {"n": number(days)}


@register.filter
def moment(value: datetime | None) -> str:
    """Write a time relative to now; the exact one is in its title."""
    if value is None:
        return NONE
    seconds = (datetime.now(UTC) - value).total_seconds()
    said = _("%(time)s ago") if seconds >= 0 else _("in %(time)s")
    local = timezone.localtime(value)
    exact = f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname()}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(timespec="seconds"),
        exact,
        said % {"time": duration(max(1.0, abs(seconds)))},
    )


@register.filter
def size(count: int) -> str:
    """Write a number of bytes."""
    if count < 10_000:
        return ngettext("%(n)s byte", "%(n)s bytes", count) % {"n": number(count)}
    if count < 10 * 1024**2:
        return _("%(n)s kB") % {"n": number(round(count / 1024))}
    if count < 10 * 1024**3:
        return _("%(n)s MB") % {"n": number(round(count / 1024**2))}
    return _("%(n)s GB") % {"n": number_format(round(count / 1024**3, 1), 1)}


@register.filter
def limits(found: InForce) -> str:
    """Write the limits of a queue: 20 at once, 50/s, set by an operator; empty if nobody set any."""
    if not found.by:
        return ""
    concurrency, rate = found.limits.concurrency, found.limits.rate
    said = [] if concurrency is None else [_("%(n)s at once") % {"n": number(concurrency)}]
    said += [rate] if rate else []
    said = said or [_("no limits")]
    return ", ".join([*said, _("set by an operator")] if found.by == "operator" else said)


@register.filter
def short(id: str) -> str:
    """Return the end of an id, which tells it from others made at the same time."""
    return id if len(id) <= 16 else f"…{id[-12:]}"


@register.filter
def breakable(name: str) -> SafeString:
    """Let a name be broken into lines after its dots and underscores."""
    parts = [(part,) for part in re.split(r"(?<=[._])", name)]
    return format_html_join(mark_safe("<wbr>"), "{}", parts)


@register.filter
def class_name(path: str) -> str:
    """Return the name of a class without its module."""
    return path.rpartition(".")[2]


OUTCOMES = {  # of a schedule's run: sign, colour, word
    "gone": ("✓", "fine", gettext_lazy("Done")),
    "succeeded": ("✓", "fine", gettext_lazy("Succeeded")),
    "failed": ("✗", "bad", gettext_lazy("Failed")),
    "processing": ("▸", "fine", gettext_lazy("Running")),
    "active": ("…", "warning", gettext_lazy("Waiting")),
    "scheduled": ("↻", "warning", gettext_lazy("Retrying")),
    "skipped": (NONE, "warning", gettext_lazy("Skipped")),
    "missed": (NONE, "bad", gettext_lazy("Missed")),
}


@register.filter
def outcome(state: str) -> str:
    """Write what became of a schedule's run."""
    return str(OUTCOMES[state][2]) if state in OUTCOMES else state


@register.filter
def mark(run: Any) -> SafeString:
    """Write a schedule's run as a sign; its time and its outcome are in the title."""
    sign, colour, _word = OUTCOMES.get(run.state, ("?", "warning", ""))
    at = date_format(timezone.localtime(run.at), "DATETIME_FORMAT") if run.at else ""
    return format_html(
        '<span class="jobs-mark jobs-{}" title="{}" aria-hidden="true">{}</span>',
        colour,
        f"{at} {outcome(run.state)}",
        sign,
    )


@register.simple_tag(takes_context=True)
def live(context: template.Context, *key: Any) -> SafeString:
    """Print one of the page's live texts so that the script finds it again."""
    name = ":".join(str(part) for part in key)
    return format_html('<span data-jobs-text="{}">{}</span>', name, context["text"][name])


@register.simple_tag(takes_context=True)
def live_path(context: template.Context, *key: Any) -> SafeString:
    """Print the attributes of a live path."""
    name = ":".join(str(part) for part in key)
    return format_html('data-jobs-path="{}" d="{}"', name, context["paths"][name])
