"""The backend, but for what differs between Django's tasks and those of django-tasks."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from django_jobs import keys, push
from django_jobs.connection import get_queue, queue_names
from django_jobs.handlers import Handler, check_options
from django_jobs.record import JobRecord
from django_jobs.task_backend.framework import Framework
from django_jobs.task_backend.options import Defaults, problems
from django_jobs.task_backend.plan import Plan, handler_options, job_options
from django_jobs.task_backend.results import of_push, of_record
from django_jobs.task_backend.running import task_handler
from django_jobs.task_backend.wire import MARK, changes_of, decode, made_at, mark


class Engine:
    """Queues tasks as jobs, runs them as handlers, reads results from jobs.

    There is one for each thread: it keeps nothing but what the settings say.
    """

    framework: Framework
    alias: str
    queues: set[str]
    options: dict[str, Any]

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    if TYPE_CHECKING:

        def validate_task(self, task: Any) -> None:
            """Raise InvalidTask for a task that cannot be run."""

    @cached_property
    def defaults(self) -> Defaults:
        """Return OPTIONS. Raises ImproperlyConfigured if they are wrong."""
        if found := problems(self.options):
            raise ImproperlyConfigured(f"TASKS[{self.alias!r}], OPTIONS: " + " ".join(found))
        return Defaults(**self.options)

    def check(self, **_: Any) -> list[CheckMessage]:
        """Name what is wrong with OPTIONS and QUEUES."""
        found = [f"OPTIONS: {problem}" for problem in problems(self.options)]
        for name in sorted(self.queues):
            try:
                keys.root("", name)
            except ValueError as error:
                found.append(f"QUEUES: {error}")
        return [Error(f"TASKS[{self.alias!r}], {text}", id="django_jobs.E010") for text in found]

    def check_task(self, task: Any) -> None:
        """Raise InvalidTask for a queue no job can be in, or a bad option."""
        try:
            keys.root("", task.queue_name)
            if options := handler_options(task):
                check_options(options)
        except (TypeError, ValueError) as error:
            raise self.framework.invalid(str(error)) from error

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Queue a task, and return its result, which is yet to come."""
        return self._enqueue(task, [(args, kwargs)])[0]

    def enqueue_many(
        self, task: Any, calls: Iterable[Sequence[Any] | Mapping[str, Any]]
    ) -> list[Any]:
        """Queue a task for each call, in one round trip; see TaskOptions.enqueue_many."""
        if getattr(task, "unique", None):
            raise self.framework.invalid("enqueue_many takes no task with a unique key.")
        pairs = [((), call) if isinstance(call, Mapping) else (call, {}) for call in calls]
        return self._enqueue(task, pairs)

    def get_result(self, result_id: str) -> Any:
        """Return the result of a task, of whatever backend. Raises TaskResultDoesNotExist."""
        record = self._find(result_id)
        if record is None:
            raise self.framework.missing(result_id)
        try:
            return of_record(self.framework, record)
        except (ImportError, ValueError, TypeError) as error:
            raise self.framework.missing(f"{result_id}: {error}") from error

    def handler_of(self, task: Any) -> Handler:
        """Return what runs the jobs of a task."""
        options = self.defaults.handler_options() | handler_options(task)
        return task_handler(self.framework, task, type(self), options)

    def _enqueue(
        self, task: Any, calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]]
    ) -> list[Any]:
        careful = self.defaults.ENQUEUE_ON_COMMIT
        if careful:
            push.refuse_event_loop("enqueue", "aenqueue")
        plan, queue = self._plan(task), get_queue(task.queue_name)
        jobs = [plan.job(queue, args, kwargs) for args, kwargs in calls]
        results = [
            of_push(self.framework, task, job.id, decode(job.payload), made_at(job.id))
            for job in jobs
        ]
        commit = push.transaction_of(None, plan.path) if careful else None
        if careful:
            push.send(queue, jobs, None, plan.path)
        elif jobs:
            push.push_now(queue, jobs)
        if commit is None:
            self._tell(results)
        else:
            commit.on_commit(partial(self._tell, results), robust=True)
        return results

    def _plan(self, task: Any) -> Plan:
        """Return how a task is pushed. Raises InvalidTask."""
        path = task.module_path
        plan = self._plans.get(path)
        if plan is None or plan.task is not task:
            self.validate_task(task)
            changes = self._changes(task, path)
            most = getattr(task, "max_attempts", None) or self.defaults.MAX_ATTEMPTS
            plan = Plan(task, path, changes, job_options(task), most)
            if not changes:
                self._plans[path] = plan
        return plan

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        return {}

    def _changes(self, task: Any, path: str) -> dict[str, Any]:
        """Return in what a task differs from the one at its path, which a worker will find."""
        try:
            declared = self.framework.task_at(path)
            return {} if task is declared else changes_of(task, declared)
        except (ImportError, ValueError, AttributeError) as error:
            raise self.framework.invalid(f"A worker could not run {path}: {error}") from error

    def _tell(self, results: Iterable[Any]) -> None:
        signal = self.framework.signals.task_enqueued
        if self.framework.is_heard(signal, logging.DEBUG):
            for result in results:
                signal.send_robust(type(self), task_result=result)

    def _find(self, id: str) -> JobRecord | None:
        """Return the job of this id; which queue it is in, its mark says."""
        wanted = id[-MARK:]
        own = [name for name in self.queues if mark(name) == wanted]
        for name in own or [name for name in queue_names() if mark(name) == wanted]:
            if (record := get_queue(name).job(id)) is not None:
                return record
        return None
