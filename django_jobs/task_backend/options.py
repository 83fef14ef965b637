"""What may be said of a task beside what Django knows, and of all tasks of a backend."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack, cast

from asgiref.sync import sync_to_async
from django.utils.module_loading import import_string

from django_jobs import backoff as backoffs
from django_jobs.handlers import Errors, HandlerOptions, check_options

DAY = 86_400


class TaskChanges(TypedDict, total=False):
    """What `using` changes."""

    priority: int
    queue_name: str
    backend: str
    run_after: datetime | timedelta
    max_attempts: int
    backoff: backoffs.Backoff
    timeout: float  # seconds
    unique: str
    retry_on: Errors


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The options of a task; None leaves a choice to the backend's OPTIONS, then to the queue."""

    max_attempts: int | None = None
    backoff: backoffs.Backoff | None = None
    timeout: float | None = None  # seconds
    unique: str | None = None
    retry_on: Errors | None = None
    delay: timedelta | None = None  # of `run_after`, counted from the push

    def using(self, **changes: Unpack[TaskChanges]) -> Any:
        """Return a new task with these changes; `run_after` may be a timedelta from the push."""
        given: dict[str, Any] = {k: v for k, v in changes.items() if v is not None}
        if "run_after" in given:
            after = given["run_after"]
            late = isinstance(after, timedelta)
            given |= {"run_after": None if late else after, "delay": after if late else None}
        return replace(self, **given)

    def enqueue_many(self: Any, calls: Iterable[Sequence[Any] | Mapping[str, Any]]) -> list[Any]:
        """Queue the task once for each call, in one round trip; return the results.

        A call is a sequence of positional arguments, or a mapping of named ones.
        """
        return cast(list[Any], self.get_backend().enqueue_many(self, calls))

    async def aenqueue_many(self, calls: Iterable[Sequence[Any] | Mapping[str, Any]]) -> list[Any]:
        """Queue the task from async code; see enqueue_many."""
        return await sync_to_async(self.enqueue_many, thread_sensitive=True)(calls)


def with_options(task: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `@task` that takes the options, also where Django's own does not (6.0)."""

    def decorate(function: Callable[..., Any] | None = None, **said: Any) -> Any:
        known = {field.name for field in fields(TaskOptions)}
        options = {name: said.pop(name) for name in known & set(said)}

        def wrap(function: Callable[..., Any]) -> Any:
            made = task(**said)(function)
            return made.using(**options) if options else made

        return wrap(function) if function else wrap

    return decorate


@dataclass(frozen=True)
class Defaults:
    """OPTIONS of a backend: what its tasks do not say themselves."""

    ENQUEUE_ON_COMMIT: bool = False
    RESULT_TTL: float = DAY  # seconds
    MAX_ATTEMPTS: int | None = None
    RETRY_ON: Sequence[type[BaseException] | str] = ()
    BACKOFF: backoffs.Backoff | None = None
    TIMEOUT: float | None = None  # seconds

    def handler_options(self) -> HandlerOptions:
        """Return them as those of a handler. Raises ImportError, or ValueError for a bad one."""
        options: HandlerOptions = {
            "max_attempts": self.MAX_ATTEMPTS,
            "timeout": self.TIMEOUT,
            "result_ttl": self.RESULT_TTL,
            "backoff": self.BACKOFF,
            "retry_on": errors_of(self.RETRY_ON),
        }
        check_options(options)
        return options


def problems(options: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the OPTIONS of a backend."""
    known = [field.name for field in fields(Defaults)]
    found = [f"there is no option {name!r}." for name in options if name not in known]
    on_commit = options.get("ENQUEUE_ON_COMMIT", False)
    if not isinstance(on_commit, bool):
        found.append(f"ENQUEUE_ON_COMMIT is {on_commit!r}, neither True nor False.")
    try:
        Defaults(**{name: options[name] for name in known if name in options}).handler_options()
    except (ImportError, TypeError, ValueError) as error:
        found.append(str(error))
    return found


def errors_of(classes: Iterable[type[BaseException] | str]) -> tuple[type[BaseException], ...]:
    """Return exception classes; a text is the import path of one."""
    return tuple(import_string(one) if isinstance(one, str) else one for one in classes)
