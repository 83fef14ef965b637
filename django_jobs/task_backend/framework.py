"""What Django's tasks and those of django-tasks have in common: the names of their parts."""

import logging
from dataclasses import dataclass
from typing import Any

from django.utils.module_loading import import_string

from django_jobs.caught import Caught

SAMPLE = logging.LogRecord("django.tasks", logging.INFO, "", 0, "", (), None)


@dataclass(frozen=True)
class Framework:
    """One of the two."""

    base: Any  # the module that has Task, TaskResult, TaskError, TaskContext
    signals: Any  # the module
    backends: Any  # alias -> backend
    invalid: type[Exception]
    missing: type[Exception]

    def task_at(self, path: str) -> Any:
        """Return the task that an import path leads to. Raises ImportError if there is none."""
        found = import_string(path)
        if not isinstance(found, self.base.Task):
            raise ImportError(f"{path} is no task.")
        return found

    def is_heard(self, signal: Any, level: int = logging.INFO) -> bool:
        """Say whether anybody minds a signal: its one receiver from the start only logs."""
        return len(signal.receivers) > 1 or _is_written(self.signals.logger, level)


def _is_written(logger: logging.Logger | None, level: int) -> bool:
    """Say whether what is logged at this level comes to a handler: a record costs more than a task.

    Django's own LOGGING makes records at INFO, and drops them all where DEBUG is off.
    """
    if logger is None or not logger.isEnabledFor(level):
        return False
    with Caught() as caught:  # filters may be the user's code
        while logger is not None:
            for handler in logger.handlers:
                if handler.level <= level and handler.filter(SAMPLE):
                    return True
            logger = logger.parent if logger.propagate else None
    return caught.error is not None
