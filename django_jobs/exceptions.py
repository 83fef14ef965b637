"""Every error this package raises; a class docstring is its default message."""

from datetime import timedelta


class JobsError(Exception):
    """Something went wrong with a job."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class Empty(JobsError):
    """The queue has no job that could be pulled now."""


class PushError(JobsError):
    """The job could not be pushed: Redis did not take it."""


class PayloadError(JobsError, TypeError):
    """The payload is not JSON."""


class PayloadTooLarge(PayloadError):
    """The payload is larger than MAX_PAYLOAD."""


class OptionError(JobsError, ValueError):
    """A push option has a value that cannot be used."""


class UniqueHeld(JobsError):
    """Another job of the same unique key waits or runs."""


class UnknownHandler(JobsError, LookupError):
    """No handler is registered under this name."""


class DuplicateHandler(JobsError):
    """Two functions are registered under one handler name."""


class JobGone(JobsError, LookupError):
    """The job is not there, or no more."""


class LeaseLost(JobsError):
    """The job was given to another worker while it ran here."""


class WorkerLost(JobsError):
    """The worker died while it ran the job."""


class JobTimeout(JobsError):
    """The job ran longer than its timeout."""


class JobStopped(JobsError):
    """Somebody stopped the job."""


class Expired(JobsError):
    """The job had not begun in time."""


class Fail(JobsError):
    """Stop retrying: the handler says that the job cannot succeed."""


class Retry(JobsError):
    """Run the job again later; this run counts as an attempt."""

    def __init__(self, message: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class Snooze(JobsError):
    """Run the job again later; this run does not count as an attempt."""

    def __init__(self, message: str = "", *, after: float | timedelta) -> None:
        super().__init__(message)
        self.after = after
