"""What is kept of an exception: its class, a line of JSON, a short traceback."""

import json
import traceback
from dataclasses import dataclass

from django_jobs.caught import Caught

ERROR_BYTES = 480
MESSAGE_BYTES = 320
TRACEBACK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: `error` is one line of JSON (≤ 512 bytes)."""

    exception: str
    message: str
    worker: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException, worker: str) -> "Failure":
        """Describe an exception; one whose own text fails is described all the same."""
        kind, message, frames = type(error), "", ""
        with Caught() as caught:  # an exception's text is the user's code
            message = str(error)
        if caught.error is not None:
            message = f"(its text raised {type(caught.error).__name__})"
        with Caught():
            frames = "".join(traceback.format_exception(error))
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        return cls(name[:120], cut(message, MESSAGE_BYTES), worker, cut_middle(frames))

    @property
    def error(self) -> str:
        """Return the record that is stored; the server adds the time."""
        limit = MESSAGE_BYTES
        while True:
            record = {"exception": self.exception, "message": cut(self.message, limit)}
            text = json.dumps(record | {"worker": self.worker}, ensure_ascii=False)
            if len(text.encode()) <= ERROR_BYTES:
                return text
            limit //= 2  # quotes and control characters grow when they are escaped

    def __str__(self) -> str:
        """Return `Class: message` on one line."""
        line = f"{self.exception}: {self.message}" if self.message else self.exception
        return " ".join(line.split())


def cut(text: str, limit: int) -> str:
    """Return the text in at most `limit` bytes of UTF-8, whole characters only."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"


def cut_middle(text: str, limit: int = TRACEBACK_BYTES) -> str:
    """Return a traceback's beginning and its end, which says most."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= limit:
        return raw.decode()
    gap = b"\n  ...\n"
    head, tail = raw[: limit // 4], raw[-(limit - limit // 4 - len(gap)) :]
    return (head + gap + tail).decode("utf-8", "ignore")
