"""A task as the handler of its jobs, and the signals of its runs."""

import functools
import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from asgiref.sync import sync_to_async
from redis.exceptions import RedisError

from django_jobs.caught import Caught
from django_jobs.connection import get_queue
from django_jobs.handlers import Handler, HandlerOptions
from django_jobs.job import Claimed, Job, decode_payload
from django_jobs.outcome import Outcome
from django_jobs.task_backend.framework import Framework
from django_jobs.task_backend.results import of_outcome, of_record, of_run
from django_jobs.task_backend.wire import read_call, round_trip

log = logging.getLogger("django_jobs")

Call = tuple[list[Any], dict[str, Any]]


def task_handler(framework: Framework, task: Any, sender: type, options: HandlerOptions) -> Handler:
    """Return what runs the jobs of a task; `sender` is that of its signals."""
    runner = Runner(framework, task, sender)
    run = runner.on_loop() if inspect.iscoroutinefunction(task.func) else runner.in_thread()
    return Handler(task.module_path, run, **options)


class Runner:
    """Calls the function of a task, and says so."""

    def __init__(self, framework: Framework, task: Any, sender: type) -> None:
        self.framework = framework
        self.task = task
        self.sender = sender

    def in_thread(self) -> Callable[[Job], Any]:
        """Return what runs a job of a sync task."""
        function = self.task.func

        @functools.wraps(function)
        def run(job: Job) -> Any:
            args, kwargs = self._begin(job)
            return round_trip(function(*args, **kwargs))

        return run

    def on_loop(self) -> Callable[[Job], Any]:
        """Return what runs a job of an async task."""
        function, begin = self.task.func, sync_to_async(self._begin, thread_sensitive=False)

        @functools.wraps(function)
        async def run(job: Job) -> Any:
            args, kwargs = await begin(job) if self._has_much_to_do() else self._begin(job)
            return round_trip(await function(*args, **kwargs))

        return run

    def _has_much_to_do(self) -> bool:
        """Say whether receivers, or Redis, would hold up the event loop."""
        heard = self.framework.is_heard(self.framework.signals.task_started)
        return heard or bool(self.task.takes_context)

    def _begin(self, job: Job) -> Call:
        """Send `task_started`, and return the arguments of the function."""
        args, kwargs, _ = read_call(job.payload)
        if job.held is None:
            return args, kwargs
        job.held.ended = self._ended
        signal = self.framework.signals.task_started
        heard = self.framework.is_heard(signal)
        if not (heard or self.task.takes_context):
            return args, kwargs
        result = self._result(job.held, job.payload)
        if heard:
            signal.send_robust(self.sender, task_result=result)
        if self.task.takes_context:
            args = [self.framework.base.TaskContext(task_result=result), *args]
        return args, kwargs

    def _ended(self, claimed: Claimed, outcome: Outcome) -> None:
        """Send `task_finished`, now that the outcome is recorded, unless the task runs again."""
        signal = self.framework.signals.task_finished
        if outcome.kind in ("succeeded", "kept") and not self.framework.is_heard(signal):
            return
        if outcome.kind in ("succeeded", "kept", "failed"):
            with Caught() as caught:
                result = self._result(claimed, decode_payload(claimed.raw), outcome)
                self._send(signal, result, outcome.error)
            if caught.error is not None:
                log.error("Task %s: nobody was told of its end: %s", claimed.id, caught.error)

    def _send(self, signal: Any, result: Any, error: BaseException | None) -> None:
        if error is None:
            signal.send_robust(self.sender, task_result=result)
            return
        with Caught(type(error)):
            try:
                raise error  # Django's receiver logs what is being handled
            finally:
                signal.send_robust(self.sender, task_result=result)

    def _result(self, claimed: Claimed, payload: Any, outcome: Outcome | None = None) -> Any:
        """Return the task's result so far; of earlier attempts only Redis knows."""
        if claimed.token > 1:
            with suppress(RedisError, OSError):
                record = get_queue(claimed.queue).job(claimed.id)
                if record is not None:
                    return of_record(self.framework, record)
        if outcome is None:
            return of_run(self.framework, self.task, claimed, payload)
        return of_outcome(self.framework, self.task, claimed, payload, outcome)
