"""The schedules that code declares: by `@handler`, and in JOBS["SCHEDULES"]."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from django_jobs import keys
from django_jobs.conf import get_settings
from django_jobs.connection import get_queue
from django_jobs.exceptions import JobsError
from django_jobs.handlers import all_handlers, get_handler
from django_jobs.options import JobOptions, new_job
from django_jobs.rhythm import Rhythm, check_missed, read_rhythm
from django_jobs.schedule import OPTIONS, Schedule

KNOWN = ("handler", "payload", "cron", "every", "timezone", "missed", "queue", *OPTIONS)
Raw = Mapping[str, Any]


def all_schedules() -> list[Schedule]:
    """Return every schedule that code declares. Raises ImproperlyConfigured for a bad one."""
    return [_read(*declared) for declared in _declared()]


def schedule_problems() -> list[str]:
    """Say what is wrong with the schedules, one sentence each."""
    found = []
    for declared in _declared():
        try:
            _read(*declared)
        except ImproperlyConfigured as error:
            found.append(str(error))
    return found


def project() -> str:
    """Return whose schedules these are; others that share a queue keep theirs."""
    return (django_settings.SETTINGS_MODULE or "").partition(".")[0]


def _declared() -> Iterator[tuple[str, Raw, Rhythm | None]]:
    """Yield name, options and, of a handler's own schedule, when it is due."""
    for handler in all_handlers().values():
        if handler.rhythm is not None:
            yield handler.name, {"handler": handler.name, "missed": handler.missed}, handler.rhythm
    for name, raw in get_settings().SCHEDULES.items():
        yield name, raw, None


def _read(name: str, raw: Raw, rhythm: Rhythm | None) -> Schedule:
    try:
        return _schedule(name, raw, rhythm or _rhythm(name, raw))
    except (JobsError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"Schedule {name!r}: {error}") from error


def _rhythm(name: str, raw: Raw) -> Rhythm:
    """Return when a schedule of the settings is due. Raises ValueError."""
    if unknown := [key for key in raw if key not in KNOWN]:
        raise ValueError(f"{unknown[0]!r} is no option. The options are {', '.join(KNOWN)}.")
    if not isinstance(name, str) or not keys.SCHEDULE_NAME.match(name):
        raise ValueError("it cannot be named so: use 1 to 100 of A-Z a-z 0-9 _ . -")
    if "handler" not in raw:
        raise ValueError('it has no handler: "handler": "shop.report".')
    if name in all_handlers() and all_handlers()[name].rhythm is not None:
        raise ValueError("the handler of this name has a schedule of its own: name this one apart.")
    rhythm = read_rhythm(*(raw.get(key) for key in ("cron", "every", "timezone")))
    if rhythm is None:
        raise ValueError('it does not say when: "cron": "0 3 * * *", or "every": 300.')
    return rhythm


def _schedule(name: str, raw: Raw, rhythm: Rhythm) -> Schedule:
    handler = get_handler(raw["handler"])
    queue = get_queue(raw.get("queue", handler.queue))
    job = new_job(
        raw.get("payload"),
        handler=handler.name,
        queue=queue.name,
        limit=queue.max_payload,
        max_attempts=handler.max_attempts or queue.max_attempts,
        options=cast(JobOptions, {key: raw[key] for key in OPTIONS if key in raw}),
    )
    if job.expires and not job.expires.startswith("+"):
        raise ValueError("expires is a number of seconds, or a timedelta.")
    if rhythm.cron and not rhythm.timezone:
        rhythm = replace(rhythm, timezone=django_settings.TIME_ZONE)
    return Schedule(name, queue.name, rhythm, check_missed(raw.get("missed", handler.missed)), job)
