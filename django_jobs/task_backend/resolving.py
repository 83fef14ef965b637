"""Finds the task that a job's handler names, if no handler has that name."""

import json
from contextlib import suppress
from typing import Any

from django.core.signals import setting_changed

from django_jobs.caught import Caught
from django_jobs.connection import get_queue
from django_jobs.exceptions import PayloadError, UnknownHandler
from django_jobs.handlers import Handler, resolvers
from django_jobs.job import decode_payload
from django_jobs.signals import job_recovered
from django_jobs.task_backend.engine import Engine
from django_jobs.task_backend.framework import Framework
from django_jobs.task_backend.results import of_record
from django_jobs.task_backend.wire import CHANGED, changed, read_call

OF_A_RUN = ("backend", "backoff", "retry_on")  # what else may differ, the job says itself


class Resolver:
    """The tasks of one framework by their import paths."""

    def __init__(self, framework: Framework) -> None:
        self.framework = framework
        self._known: dict[str, Handler] = {}
        resolvers.append(self)
        setting_changed.connect(self._forget)
        job_recovered.connect(self._recovered)

    def __call__(self, name: str, payload: bytes) -> Handler | None:
        """Return what runs a task; None if the name leads to no task of a backend of ours."""
        changes = _changes(payload) if payload.startswith(CHANGED) else {}
        key = f"{name} {json.dumps(changes)}" if changes else name
        if key in self._known:
            return self._known[key]
        found = None
        with Caught(Exception, SystemExit) as caught:  # an import runs the user's code
            found = self._make(name, changes)
        if found is not None:
            self._known[key] = found
        elif caught.error is not None and not isinstance(caught.error, ImportError):
            raise UnknownHandler(f"Task {name!r} cannot be run by this code: {caught.error}")
        return found

    def _make(self, name: str, changes: dict[str, Any]) -> Handler | None:
        task = changed(self.framework.task_at(name), changes)
        backend = self.framework.backends[task.backend]
        return backend.handler_of(task) if isinstance(backend, Engine) else None

    def _recovered(self, *, id: str, queue: str, state: str, **_: Any) -> None:
        """Send `task_finished` for a task whose last attempt ended with its worker."""
        record = get_queue(queue).job(id) if state == "failed" else None
        if record is None:
            return
        with suppress(ImportError, PayloadError):  # no task of ours
            result = of_record(self.framework, record)
            sender = type(self.framework.backends[result.backend])
            self.framework.signals.task_finished.send_robust(sender, task_result=result)

    def _forget(self, *, setting: str, **_: Any) -> None:
        if setting == "TASKS":
            self._known.clear()


def _changes(payload: bytes) -> dict[str, Any]:
    with suppress(PayloadError):  # the run will say so
        _, _, changes = read_call(decode_payload(payload))
        return {name: changes[name] for name in OF_A_RUN if name in changes}
    return {}
