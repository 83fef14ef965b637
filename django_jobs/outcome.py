"""What a run produced, and how that is decided; nothing here runs or settles anything."""

import logging
from dataclasses import dataclass

from django_jobs import backoff
from django_jobs.backoff import Backoff
from django_jobs.exceptions import Fail, LeaseLost, PayloadError, Retry, Snooze, UnknownHandler
from django_jobs.failure import Failure
from django_jobs.handlers import Handler, get_handler
from django_jobs.job import Claimed, encode_payload

log = logging.getLogger("django_jobs")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run produced, by its kind.

    One of succeeded, kept (succeeded, with its result), retry, failed, snoozed (later, no attempt spent), unknown (no such
    handler), released (given back), lost.
    """

    kind: str
    delay: float = 0.0  # seconds; of one that is kept, for how long
    result: str = ""
    failure: Failure | None = None
    error: BaseException | None = None


RESULT = 1_048_576  # bytes

SUCCEEDED = Outcome("succeeded")
UNKNOWN = Outcome("unknown")
RELEASED = Outcome("released")
LOST = Outcome("lost")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a queue's settings say where neither push nor handler does; times in seconds."""

    timeout: float | None = None
    backoff: Backoff | None = None
    result_ttl: float = 0.0


def find_handler(claimed: Claimed, wait: float) -> Handler | Outcome:
    """Return the job's handler; an outcome if this code does not know it.

    For `wait` seconds since it was first missed, the job is left to other workers.
    """
    try:
        return get_handler(claimed.handler, claimed.raw)
    except UnknownHandler as error:
        if claimed.unknown_ms < wait * 1000:
            return UNKNOWN
        return Outcome("failed", failure=Failure.of(error, ""), error=error)


def decide(
    error: BaseException | None,
    claimed: Claimed,
    handler: Handler,
    policy: Policy,
    result: object = None,
) -> Outcome:
    """Return the outcome of a run that returned a result, or raised `error`."""
    if error is None:
        chosen = handler.result_ttl if claimed.result_ttl is None else claimed.result_ttl
        keep = policy.result_ttl if chosen is None else chosen
        return _keep(claimed, handler, keep, result) if keep else SUCCEEDED
    if isinstance(error, LeaseLost):
        return LOST
    pause = _pause(error, claimed, handler, policy)
    if isinstance(error, Snooze) and not claimed.stopped:
        return Outcome("snoozed", pause)
    failure = Failure.of(error, "")
    if _is_final(error, claimed, handler, pause):
        return Outcome("failed", failure=failure, error=error)
    return Outcome("retry", pause, failure=failure, error=error)


def _keep(claimed: Claimed, handler: Handler, seconds: float, result: object) -> Outcome:
    try:
        text = encode_payload(result, handler=handler.name, queue=claimed.queue, limit=RESULT)
    except PayloadError as error:
        wrong = PayloadError(str(error).replace("payload", "result"))
        return Outcome("failed", failure=Failure.of(wrong, ""), error=wrong)
    return Outcome("kept", seconds, text)


def _is_final(error: BaseException, claimed: Claimed, handler: Handler, pause: float) -> bool:
    last = claimed.stopped or claimed.attempt >= claimed.max_attempts
    if last or isinstance(error, Fail | PayloadError):
        return True
    age = claimed.waited_ms / 1000 + claimed.took + pause
    late = handler.retry_for is not None and age > handler.retry_for
    return late or not handler.tries_again(error)


def _pause(error: BaseException, claimed: Claimed, handler: Handler, policy: Policy) -> float:
    """Return the seconds until the next attempt: what the run said wins over handler over queue."""
    chosen = policy.backoff if handler.backoff is None else handler.backoff
    if isinstance(error, Retry | Snooze) and error.after is not None:
        chosen = error.after
    try:
        return backoff.delay(chosen, claimed.attempt, error)
    except Exception:
        log.exception("The backoff of handler %s raised; the default is used.", handler.name)
        return backoff.delay(None, claimed.attempt, error)


def time_limit(claimed: Claimed, handler: Handler, policy: Policy) -> float | None:
    """Return the seconds a run may take: push wins over handler over queue."""
    return claimed.timeout or handler.timeout or policy.timeout
