"""A job: what a handler gets, what an operator sees, and its payload on the wire."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.exceptions import PayloadError, PayloadTooLarge

T = TypeVar("T")
ProgressFunction = Callable[["Job", float, str], None]

MAX_ATTEMPTS = 5
NOTHING_MORE = (None,) * 6

_encode = DjangoJSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


@dataclass(slots=True)
class Job:
    """One job as its handler gets it; `attempt` is 1-based and counts this run."""

    id: str
    queue: str
    handler: str
    payload: Any
    attempt: int = 1
    max_attempts: int = MAX_ATTEMPTS
    enqueued_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    priority: int = 0
    token: int = 1
    progress_function: ProgressFunction | None = field(default=None, repr=False, compare=False)
    held: "Claimed | None" = field(default=None, repr=False, compare=False)

    @property
    def attempts(self) -> int:
        """Return how many runs came before this one."""
        return self.attempt - 1

    @property
    def cancelled(self) -> bool:
        """Say whether somebody asked to stop this run; the handler should then end it."""
        return self.held is not None and self.held.stopped

    def unmarshal(self, into: Callable[..., T]) -> T:
        """Call `into` (a dataclass, say) with the payload's keys as arguments.

        Raises PayloadError if the payload is not an object or its keys do not fit.
        """
        if not isinstance(self.payload, dict):
            raise PayloadError(
                f"Job {self.id} ({self.handler}): the payload is a"
                f" {type(self.payload).__name__}, unmarshal needs an object."
            )
        try:
            return into(**self.payload)
        except TypeError as error:
            raise PayloadError(
                f"Job {self.id} ({self.handler}): its payload does not fit: {error}"
            ) from error

    def progress(self, fraction: float, text: str = "") -> None:
        """Record how far the run is, 0.0 to 1.0, for whoever looks at the job."""
        if self.progress_function is not None:
            self.progress_function(self, fraction, text)


class Claimed:
    """A job that a worker holds: the proof of its claim, and what it needs to run."""

    __slots__ = (
        "attempt",
        "ended",
        "enqueued_ms",
        "handler",
        "id",
        "lost",
        "max_attempts",
        "priority",
        "queue",
        "raw",
        "result_ttl",
        "slot",
        "stopped",
        "timeout",
        "token",
        "took",
        "trace",
        "unknown_ms",
        "waited_ms",
        "worker",
    )

    def __init__(self, queue: str, row: list[Any], now: int) -> None:
        """Read one row of a claim's answer; `now` is the server's clock in ms."""
        _, handler, raw, enqueued, token, attempt, most, id, *more = row
        timeout, priority, unknown, due, keep, trace = more or NOTHING_MORE
        self.queue = queue
        self.id = str(id, "ascii")
        self.handler = str(handler or b"", "utf-8", "replace")
        self.raw = raw or b""
        self.enqueued_ms = _number(enqueued, now)
        self.token = int(token)
        self.attempt = int(attempt)
        self.max_attempts = _number(most, MAX_ATTEMPTS) if most else MAX_ATTEMPTS
        self.timeout = _number(timeout, 0) / 1000 if timeout else None
        self.priority = _number(priority, 0) if priority else 0
        self.unknown_ms = now - _number(unknown, now) if unknown else 0
        self.waited_ms = now - (_number(due, now) if due else self.enqueued_ms)
        self.result_ttl = _number(keep, 0) / 1000 if keep else None
        self.trace: bytes | None = trace  # JSON: see NewJob
        self.took = 0.0  # seconds of the run; first the moment (monotonic) it began
        self.slot = -1
        self.lost = False
        self.stopped = False  # somebody asked to stop the run
        self.worker = ""
        self.ended: Callable[[Claimed, Any], None] | None = (
            None  # told of the outcome once it is recorded
        )

    def job(self, progress: ProgressFunction | None = None) -> Job:
        """Return the job for its handler. Raises PayloadError if its payload is not JSON."""
        return self.job_with(decode_payload(self.raw), progress)

    def job_with(self, payload: Any, progress: ProgressFunction | None = None) -> Job:
        """Return the job with a payload that was read elsewhere."""
        return Job(
            self.id,
            self.queue,
            self.handler,
            payload,
            self.attempt,
            self.max_attempts,
            datetime.fromtimestamp(self.enqueued_ms / 1000, UTC),
            self.priority,
            self.token,
            progress,
            self,
        )


def _number(value: bytes | None, default: int) -> int:
    try:
        return default if value is None else int(value)
    except ValueError:
        return default


def new_id() -> str:
    """Return a new job id: a UUID of version 7 as 32 hex digits (RFC 9562)."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000  # ids of one process sort in the order they were made
    variant = fraction << 64 | 2 << 62 | random.getrandbits(62)
    return f"{milliseconds << 80 | 7 << 76 | variant:032x}"


def encode_payload(
    payload: Any, *, handler: str, queue: str, limit: int, encode: Callable[[Any], str] = _encode
) -> str:
    """Return the payload as JSON.

    Raises PayloadError for what is not JSON (NaN and keys that are not strings too),
    PayloadTooLarge above `limit` bytes.
    """
    try:
        text = encode(payload)
        check_keys(payload)
        size = len(text) if text.isascii() else len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(
            f"The payload for handler {handler!r} (queue {queue!r}) is not JSON: {error}."
            " Send plain values, ids rather than objects."
        ) from error
    if size > limit:
        raise PayloadTooLarge(
            f"The payload for handler {handler!r} (queue {queue!r}) has {size:,} bytes,"
            f" MAX_PAYLOAD allows {limit:,}. Store the data and send its id."
        )
    return text


def decode_payload(raw: bytes) -> Any:
    """Return a payload's value. Raises PayloadError if the bytes are not JSON."""
    try:
        return _decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"The payload is not JSON: {error}.") from error


def check_keys(value: Any) -> None:
    """Raise TypeError for a key that JSON would silently turn into a string."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
            if isinstance(item, dict | list | tuple):
                check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, dict | list | tuple):
                check_keys(item)
