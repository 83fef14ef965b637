"""`@handler` and the registry of names it fills."""

import difflib
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from django_jobs import backoff as backoffs
from django_jobs import keys
from django_jobs.exceptions import DuplicateHandler, OptionError, UnknownHandler

NAME = re.compile(r"[^\s:]{1,200}\Z")

_registry: dict[str, "Handler"] = {}


class Handler:
    """A registered function; calling it calls the plain function.

    `timeout` is in seconds; None leaves a choice to the queue's settings.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        queue: str = "default",
        max_attempts: int | None = None,
        timeout: float | None = None,
        backoff: backoffs.Backoff | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.function = function
        self.queue = queue
        self.max_attempts = max_attempts
        self.timeout = timeout
        self.backoff = backoff
        self.is_async = inspect.iscoroutinefunction(function)
        self.source = (function.__module__, function.__qualname__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Show the name and where the function stands."""
        return f"<Handler {self.name}: {'.'.join(self.source)}>"


def handler(
    name: str,
    *,
    queue: str = "default",
    max_attempts: int | None = None,
    timeout: float | None = None,
    backoff: backoffs.Backoff | None = None,
) -> Callable[[Callable[..., Any]], Handler]:
    """Register a function, sync or async, as what runs the jobs of this name.

    The name is stored with each job: keep it when the function moves. `timeout` is in
    seconds. Raises OptionError for a bad option, DuplicateHandler if another function
    has the name.
    """
    if not isinstance(name, str) or not NAME.match(name):
        raise OptionError(
            f"{name!r} cannot name a handler: use 1 to 200 characters without spaces"
            ' or colons, as in @handler("shop.send_receipt").'
        )
    _check_options(name, queue, max_attempts, timeout, backoff)

    def register(function: Callable[..., Any]) -> Handler:
        new = Handler(name, function, queue, max_attempts, timeout, backoff)
        old = _registry.get(name)
        if old is not None and old.source != new.source:
            raise DuplicateHandler(
                f"Two functions are registered as handler {name!r}: "
                f"{'.'.join(old.source)} and {'.'.join(new.source)}. Rename one."
            )
        _registry[name] = new
        return new

    return register


def _check_options(
    name: str,
    queue: str,
    max_attempts: int | None,
    timeout: float | None,
    backoff: backoffs.Backoff | None,
) -> None:
    try:
        keys.root("", queue)
        if max_attempts is not None:
            check_max_attempts(max_attempts)
        if timeout is not None:
            check_timeout(timeout)
    except (TypeError, ValueError) as error:
        raise OptionError(f"Handler {name!r}: {error}") from error
    if problem := backoffs.problem(backoff):
        raise OptionError(f"Handler {name!r}: backoff {problem}.")


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


def get_handler(name: str) -> Handler:
    """Return the handler of this name. Raises UnknownHandler with the nearest names."""
    try:
        return _registry[name]
    except KeyError:
        near = difflib.get_close_matches(name, _registry, n=3, cutoff=0.5)
        known = f"Did you mean {', '.join(near)}?" if near else _what_is_known()
        raise UnknownHandler(f"No handler is registered as {name!r}. {known}") from None


def _what_is_known() -> str:
    if not _registry:
        return "None is registered at all: put them into jobs.py of an installed app."
    return f"Registered are: {', '.join(sorted(_registry)[:10])}."


def all_handlers() -> dict[str, Handler]:
    """Return every registered handler by its name."""
    return dict(_registry)
