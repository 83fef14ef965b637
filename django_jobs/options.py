"""What may be said at push, checked at the caller's line."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from django.conf import settings
from django.utils import timezone

from django_jobs import backoff
from django_jobs.exceptions import OptionError
from django_jobs.handlers import check_max_attempts, check_result_ttl, check_timeout
from django_jobs.job import MAX_ATTEMPTS, encode_payload, new_id

PRIORITIES = range(-100, 101)


class JobOptions(TypedDict, total=False):
    """How one job is to be run."""

    delay: float | timedelta  # seconds from now, by the server's clock
    run_at: datetime
    expires: float | timedelta | datetime  # not begun by then, it fails
    priority: int  # -100 to 100, higher first
    max_attempts: int
    timeout: float  # seconds
    unique: str  # while a job of this key waits or runs, none is added to it
    unique_until: Literal["end", "start"] | float | timedelta  # or seconds from the push
    replace: bool  # give a waiting job of the key this payload and due time
    result_ttl: float  # seconds for which the job is kept, with its result, when it succeeded
    limit_key: str  # of the jobs with this key ...
    limit: int  # ... only so many run at once


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is ready to be pushed; `due` and `expires` are "" (now, never), "+ms" or "ms"."""

    id: str
    handler: str
    payload: str
    due: str = ""
    expires: str = ""
    priority: int = 0
    unique: str = ""
    max_attempts: int = MAX_ATTEMPTS
    timeout: float | None = None
    result_ttl: float | None = None
    limit_key: str = ""
    limit: int = 1
    batch: str = ""
    trace: str = ""  # JSON: the headers of the trace in which it is pushed
    callback: str = ""  # on_complete, on_success, on_failure: the job follows the batch
    tombstone: int = 0  # ms for which the id is known when the job has ended
    seal: tuple[str | int, ...] = ()  # no job: what is said of the batch whose id this has

    def arguments(self) -> list[str | int]:
        """Return what the push script takes."""
        if self.seal:
            said = [*self.seal, "tombstone", self.tombstone] if self.tombstone else self.seal
            return [self.id, len(said), *said, 0]
        options, fields = self.parts()
        return [self.id, len(options), *options, len(fields), *fields]

    def parts(self) -> tuple[list[str | int], list[str | int]]:
        """Return the options to push by, and the fields of the job's hash."""
        fields: list[str | int] = ["handler", self.handler, "payload", self.payload]
        if self.max_attempts != MAX_ATTEMPTS:
            fields += ["max_attempts", self.max_attempts]
        both = self._both()
        options = both + self._options()
        trace = ["trace", self.trace] if self.trace else []
        if rare := [*both, *self._times(), *trace]:
            fields += [*rare, "more", 1]  # that there is something which few jobs have
        return options, fields

    def _both(self) -> list[str | int]:
        """Return what push goes by, and the hash keeps."""
        both: list[str | int] = ["priority", self.priority] if self.priority else []
        if self.limit_key:
            both += ["limit_key", self.limit_key, "limit", self.limit]
        return [*both, "batch", self.batch] if self.batch else both

    def _options(self) -> list[str | int]:
        if not (self.due or self.expires or self.unique or self.callback or self.tombstone):
            return []
        names = ("due", "expires", "unique", "callback", "tombstone")
        return [value for name in names if (said := getattr(self, name)) for value in (name, said)]

    def _times(self) -> list[str | int]:
        if self.timeout is None and self.result_ttl is None:
            return []
        times = {"timeout": self.timeout, "result_ttl": self.result_ttl}
        given = ((name, round(s * 1000)) for name, s in times.items() if s is not None)
        return [value for pair in given for value in pair]


def new_job(
    payload: Any,
    *,
    handler: str,
    queue: str,
    limit: int,
    max_attempts: int = MAX_ATTEMPTS,
    options: JobOptions,
) -> NewJob:
    """Return the job to push.

    `limit` is in bytes; `max_attempts` counts unless the options name another. Raises
    PayloadError, PayloadTooLarge, and OptionError (a ValueError) for a bad option.
    """
    text = encode_payload(payload, handler=handler, queue=queue, limit=limit)
    return encoded_job(
        new_id(), text, handler=handler, queue=queue, max_attempts=max_attempts, options=options
    )


def encoded_job(
    id: str,
    payload: str,
    *,
    handler: str,
    queue: str,
    max_attempts: int = MAX_ATTEMPTS,
    options: JobOptions,
) -> NewJob:
    """Return the job to push; its payload is JSON already. Raises OptionError."""
    if not options:
        return NewJob(id, handler, payload, max_attempts=max_attempts)
    try:
        _refuse_unknown(options)
        return NewJob(
            id,
            handler,
            payload,
            due=_due(options.get("delay"), options.get("run_at")),
            expires=_expires(options),
            unique=_unique(options),
            priority=_priority(options.get("priority")),
            max_attempts=check_max_attempts(options.get("max_attempts", max_attempts)),
            timeout=_timeout(options.get("timeout")),
            result_ttl=check_result_ttl(options.get("result_ttl")),
            **_limit(options),
        )
    except (TypeError, ValueError) as error:
        raise OptionError(f"Handler {handler!r}, queue {queue!r}: {error}") from error


def _refuse_unknown(options: JobOptions) -> None:
    if unknown := set(options) - set(JobOptions.__annotations__):
        known = ", ".join(JobOptions.__annotations__)
        raise ValueError(
            f"there is no option {', '.join(sorted(unknown))}. The options are {known}."
        )


def _due(delay: float | timedelta | None, run_at: datetime | None) -> str:
    if delay is not None and run_at is not None:
        raise ValueError("delay and run_at exclude each other: give one of them.")
    if delay is not None:
        return f"+{round(_seconds('delay', delay) * 1000)}"
    return "" if run_at is None else str(_milliseconds("run_at", run_at))


def _expires(options: JobOptions) -> str:
    expires = options.get("expires")
    if expires is None:
        return ""
    if isinstance(expires, datetime):
        return str(_milliseconds("expires", expires))
    seconds, delay = _seconds("expires", expires), options.get("delay")
    if delay is not None and _seconds("delay", delay) >= seconds:
        raise ValueError(
            f"expires ({expires}) is not later than delay ({delay}): it would never run."
        )
    return f"+{round(seconds * 1000)}"


def _unique(options: JobOptions) -> str:
    """Return how and by what a job is unique, as the push script reads it."""
    key, until = options.get("unique"), options.get("unique_until", "end")
    if key is None:
        if extra := sorted({"unique_until", "replace"} & set(options)):
            raise ValueError(f"{extra[0]} needs a unique key: unique=...")
        return ""
    key = _key("unique", key)
    how = until if isinstance(until, str) else max(1, round(_seconds("unique_until", until) * 1000))
    if isinstance(how, str) and how not in ("end", "start"):
        raise ValueError(f"unique_until is {until!r}, not 'end', 'start', or a number of seconds.")
    return f"{'+' if options.get('replace') else ''}{how}:{key}"


def _limit(options: JobOptions) -> dict[str, Any]:
    """Return the options limit_key and limit as fields of a job."""
    key, limit = options.get("limit_key"), options.get("limit")
    if key is None and limit is None:
        return {}
    key = _key("limit_key", key)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit < 10**6:
        raise ValueError(
            f"limit is {limit!r}, not how many jobs of the limit_key {key!r} may run at once."
        )
    if options.get("priority"):
        raise ValueError("a job with a limit_key waits for its turn: it takes no priority.")
    return {"limit_key": key, "limit": limit}


def _key(option: str, key: object) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= 200:
        raise ValueError(f"{option} is {key!r}, not a text of 1 to 200 characters.")
    key.encode()  # half a pair of surrogates is refused here, not after the commit
    return key


def _seconds(option: str, value: object) -> float:
    if not isinstance(value, int | float | timedelta):
        raise ValueError(f"{option} is a number of seconds, or a timedelta.")
    if problem := backoff.problem(value):
        raise ValueError(f"{option} {problem}.")
    return backoff.seconds(value)


def _milliseconds(option: str, moment: datetime) -> int:
    if not isinstance(moment, datetime):
        raise ValueError(f"{option} is {moment!r}, not a datetime.")
    if timezone.is_naive(moment):
        if settings.USE_TZ:
            raise ValueError(
                f"{option} is {moment!r}, which has no time zone. With USE_TZ it needs one:"
                f" django.utils.timezone.make_aware({option})."
            )
        moment = timezone.make_aware(moment)
    return max(0, round(moment.timestamp() * 1000))


def _priority(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value not in PRIORITIES:
        raise ValueError(f"priority is {value!r}, not a whole number from -100 to 100.")
    return value


def _timeout(value: float | None) -> float | None:
    return None if value is None else check_timeout(value)
