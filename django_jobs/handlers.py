"""`@handler` and the registry of names it fills."""

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, TypedDict, Unpack

from django_jobs import backoff as backoffs
from django_jobs import keys
from django_jobs.exceptions import DuplicateHandler, OptionError, Retry, UnknownHandler
from django_jobs.rhythm import check_missed, read_rhythm

NAME = re.compile(r"[^\s:]{1,200}\Z")

Errors = type[BaseException] | tuple[type[BaseException], ...]

_registry: dict[str, "Handler"] = {}
resolvers: list[Callable[[str, bytes], "Handler | None"]] = []  # asked for names nobody registered
_by_alias: dict[str, "Handler"] = {}


class HandlerOptions(TypedDict, total=False):
    """How a handler's jobs are run; None leaves a choice to the queue's settings."""

    queue: str
    max_attempts: int | None
    timeout: float | None  # seconds
    result_ttl: float | None  # seconds, as at push
    backoff: backoffs.Backoff | None
    retry_on: Errors | None  # only these are tried again
    fail_on: Errors  # these are not, whatever `retry_on` says
    retry_for: backoffs.Seconds | None  # no attempt begins later than this after the push
    aliases: Sequence[str]  # names that it had before
    atomic: bool  # run in a transaction that commits once per job; needs the outbox
    cron: str | None  # five fields: a job is pushed whenever they say
    every: float | timedelta | None  # or so often, from the epoch on
    timezone: str | None  # of `cron`; None is the project's
    missed: Literal["once", "skip"]  # of what was missed, because nobody worked


class Handler:
    """A registered function; calling it calls the plain function."""

    def __init__(
        self, name: str, function: Callable[..., Any], **options: Unpack[HandlerOptions]
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.function = function
        self.queue = options.get("queue", "default")
        self.max_attempts = options.get("max_attempts")
        self.timeout = options.get("timeout")
        self.result_ttl = options.get("result_ttl")
        self.backoff = options.get("backoff")
        self.retry_on = options.get("retry_on")
        self.fail_on = options.get("fail_on", ())
        self.aliases = tuple(options.get("aliases", ()))
        limit = options.get("retry_for")
        self.retry_for = None if limit is None else backoffs.seconds(limit)
        self.atomic = options.get("atomic", False)
        self.rhythm = read_rhythm(*(options.get(name) for name in ("cron", "every", "timezone")))
        self.missed = options.get("missed", "once")
        self.is_async = inspect.iscoroutinefunction(function)
        self.source = (function.__module__, function.__qualname__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Show the name and where the function stands."""
        return f"<Handler {self.name}: {'.'.join(self.source)}>"

    def tries_again(self, error: BaseException) -> bool:
        """Say whether a run that raised this may be tried again."""
        if isinstance(error, self.fail_on):
            return False
        return self.retry_on is None or isinstance(error, (self.retry_on, Retry))


def handler(
    name: str, **options: Unpack[HandlerOptions]
) -> Callable[[Callable[..., Any]], Handler]:
    """Register a function, sync or async, as what runs the jobs of this name.

    The name is stored with each job: keep it when the function moves. For the options see
    HandlerOptions. Raises OptionError for a bad one, DuplicateHandler if another function
    has the name.
    """
    _check_name(name)
    try:
        check_options(options)
        _check_aliases(name, options.get("aliases", ()))
        _check_schedule(name, options)
    except (TypeError, ValueError) as error:
        raise OptionError(f"Handler {name!r}: {error}") from error

    def register(function: Callable[..., Any]) -> Handler:
        new = Handler(name, function, **options)
        if new.atomic and new.is_async:
            raise OptionError(f"Handler {name!r}: Django has transactions for sync code only.")
        _refuse_taken(new)
        for alias in [alias for alias, one in _by_alias.items() if one.name == name]:
            del _by_alias[alias]
        _registry[name] = new
        _by_alias.update(dict.fromkeys(new.aliases, new))
        return new

    return register


def _refuse_taken(new: Handler) -> None:
    """Raise DuplicateHandler if another function has one of the names, or had it before."""
    for name in (new.name, *new.aliases):
        old = _registry.get(name) or _by_alias.get(name)
        if old is not None and (old.name, old.source) != (new.name, new.source):
            raise DuplicateHandler(
                f"Two functions are registered as handler {name!r}: "
                f"{'.'.join(old.source)} and {'.'.join(new.source)}. Rename one."
            )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.match(name):
        raise OptionError(
            f"{name!r} cannot name a handler: use 1 to 200 characters without spaces"
            ' or colons, as in @handler("shop.send_receipt").'
        )


def check_options(options: HandlerOptions) -> None:
    """Raise ValueError, or TypeError, for an option that is wrong."""
    if unknown := sorted(set(options) - set(HandlerOptions.__annotations__)):
        known = ", ".join(HandlerOptions.__annotations__)
        raise ValueError(f"there is no option {', '.join(unknown)}. The options are {known}.")
    keys.root("", options.get("queue", "default"))
    if (attempts := options.get("max_attempts")) is not None:
        check_max_attempts(attempts)
    if (timeout := options.get("timeout")) is not None:
        check_timeout(timeout)
    check_result_ttl(options.get("result_ttl"))
    if problem := backoffs.problem(options.get("backoff")):
        raise ValueError(f"backoff {problem}.")
    _check_errors("retry_on", options.get("retry_on") or ())
    _check_errors("fail_on", options.get("fail_on", ()))
    limit = options.get("retry_for")
    if isinstance(limit, list | tuple) or callable(limit) or backoffs.problem(limit):
        raise ValueError(f"retry_for is {limit!r}, not a number of seconds, or a timedelta.")


def _check_aliases(name: str, value: object) -> None:
    if not isinstance(value, list | tuple):
        raise ValueError(f"aliases is {value!r}, not a list of the names it had before.")
    for alias in value:
        _check_name(alias)
    if len({name, *value}) <= len(value):
        raise ValueError(f"aliases is {value!r}, where a name is repeated.")


def _check_schedule(name: str, options: HandlerOptions) -> None:
    rhythm = read_rhythm(*(options.get(name) for name in ("cron", "every", "timezone")))
    check_missed(options.get("missed", "once"))
    if rhythm is None and "missed" in options:
        raise ValueError("missed needs cron or every.")
    if rhythm is not None and not keys.SCHEDULE_NAME.match(name):
        raise ValueError(
            "its name cannot be that of a schedule: use up to 100 of A-Z a-z 0-9 _ . -, or give"
            ' the schedule a name of its own, in JOBS["SCHEDULES"].'
        )


def _check_errors(option: str, value: object) -> None:
    classes = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(one, type) and issubclass(one, BaseException) for one in classes):
        raise ValueError(f"{option} is {value!r}, not an exception class, or a tuple of some.")


def check_max_attempts(value: object) -> int:
    """Return a number of attempts. Raises ValueError unless it is 1 to 1,000,000."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**6:
        raise ValueError(f"max_attempts is {value!r}, not a whole number from 1 on.")
    return value


def check_timeout(value: object) -> float:
    """Return a timeout in seconds. Raises ValueError unless it is positive and finite."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.001 <= value < 10**8:
        return float(value)
    raise ValueError(f"timeout is {value!r}, not a positive number of seconds.")


def check_result_ttl(value: object) -> float | None:
    """Return for how many seconds a result is kept. Raises ValueError if it is no such number."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**8:
        return float(value)
    raise ValueError(f"result_ttl is {value!r}, not a number of seconds from 0 on.")


def get_handler(name: str, payload: bytes = b"") -> Handler:
    """Return the handler that has, or had, this name, for this payload (JSON).

    Raises UnknownHandler with the nearest names.
    """
    found = _registry.get(name) or _by_alias.get(name)
    for resolve in resolvers:
        found = found or resolve(name, payload)
    if found is None:
        near = difflib.get_close_matches(name, _registry, n=3, cutoff=0.5)
        known = f"Did you mean {', '.join(near)}?" if near else _what_is_known()
        raise UnknownHandler(f"No handler is registered as {name!r}. {known}")
    return found


def _what_is_known() -> str:
    if not _registry:
        return "None is registered at all: put them into jobs.py of an installed app."
    return f"Registered are: {', '.join(sorted(_registry)[:10])}."


def all_handlers() -> dict[str, Handler]:
    """Return every registered handler by its name."""
    return dict(_registry)
