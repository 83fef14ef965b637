"""What of a job may be shown to whom: nothing that is secret, nothing a page cannot hold."""

import json
from dataclasses import dataclass, replace

from django_jobs.exceptions import PayloadError
from django_jobs.job import decode_payload
from django_jobs.queue import Queue
from django_jobs.record import Attempt, JobRecord
from django_jobs.redact import Redactor

SHOWN = 65_536  # characters of a payload, message or traceback


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever looks. Without `payload` they see nothing that a user's data is in."""

    redactor: Redactor
    payload: bool = True

    def text(self, text: str, limit: int = SHOWN) -> str:
        """Return a message or a traceback as the reader may see it."""
        return printable(self.redactor.text(text), limit) if self.payload else ""

    def payload_of(self, raw: bytes, limit: int = SHOWN, indent: int | None = 2) -> str:
        """Return a payload for the eye: indented if it is JSON, else as it is."""
        if not self.payload:
            return ""
        try:
            value = self.redactor.value(decode_payload(raw))
            text = json.dumps(value, indent=indent, ensure_ascii=False)
        except (PayloadError, ValueError, RecursionError):
            text = self.redactor.text(raw.decode("utf-8", "replace"))
        return printable(text, limit)

    def record(self, record: JobRecord) -> JobRecord:
        """Return a job with what the reader may not see left out, but for payloads and result."""
        return replace(
            record,
            payload=record.payload if self.payload else b"",
            edited=record.edited if self.payload else (),
            result=record.result if self.payload else b"",
            progress=self.text(record.progress),
            errors=tuple(self._attempt(error) for error in record.errors),
        )

    def _attempt(self, error: Attempt) -> Attempt:
        return replace(
            error,
            exception=printable(error.exception),
            message=self.text(error.message),
            traceback=self.text(error.traceback),
            worker=printable(error.worker),
        )


def find_job(queue: Queue, id: str, reader: Reader) -> JobRecord | None:
    """Return a job as the reader may see it; None if it is gone. Raises RedisError."""
    record = queue.job(id)
    return None if record is None else reader.record(record)


def printable(text: str, limit: int = SHOWN) -> str:
    """Return a text that any page can hold: no lone surrogates, cut at `limit` characters."""
    cut = text if len(text) <= limit else f"{text[:limit]} …"
    return cut.encode("utf-8", "replace").decode()
