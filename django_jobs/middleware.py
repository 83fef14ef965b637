"""What goes around each run, as Django's middleware goes around each view."""

from collections.abc import Callable, Sequence
from typing import Any

from asgiref.sync import (
    async_to_sync,
    iscoroutinefunction,
    markcoroutinefunction,
    sync_to_async,
)
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_jobs.handlers import Handler
from django_jobs.job import Job

Run = Callable[[Job], Any]


def no_outbox(handler: Handler) -> Run:
    """Refuse: who records the runs of atomic handlers is not there."""
    raise ImproperlyConfigured(
        f"Handler {handler.name!r} is atomic, which needs django_jobs.outbox in INSTALLED_APPS."
    )


run_once: Callable[[Handler], Run] = no_outbox
installed: list[Callable[[Run], Run]] = []  # around that of the settings; filled in ready()


def wrapped(handler: Handler, paths: Sequence[str]) -> Run:
    """Return the handler's function inside its middleware, the first of it outermost.

    Each is a function, or a class, that takes `run` and returns what is called with the
    job instead. One that says `async_capable = True` gets, for an async handler, a `run`
    that it must await; others run in a thread of their own there, which costs time.
    Raises ImportError.
    """
    run: Run = run_once(handler) if handler.atomic else handler.function
    for middleware in [*installed, *map(import_string, paths)][::-1]:
        run = _around(middleware, run, is_async=handler.is_async)
    return run


def _around(middleware: Callable[[Run], Run], run: Run, *, is_async: bool) -> Run:
    if is_async and not getattr(middleware, "async_capable", False):
        return sync_to_async(middleware(async_to_sync(run)), thread_sensitive=False)
    if not is_async and not getattr(middleware, "sync_capable", True):
        return async_to_sync(middleware(sync_to_async(run, thread_sensitive=False)))
    made = middleware(run)
    if is_async and not iscoroutinefunction(made):
        markcoroutinefunction(made)  # an instance with an async __call__, say
    return made
