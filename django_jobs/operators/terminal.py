"""Where the words speak: lines for people, JSON for programs, a question, a progress bar."""

import json
import os
import shutil
import sys
from types import TracebackType
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

BAR = 24  # cells
LINES = 10  # of progress, where there is no terminal
MANY = 10_000  # jobs: of fewer no line is worth it


class Terminal:
    """The two streams of a command, and whether its answer is JSON."""

    def __init__(self, out: OutputWrapper, err: OutputWrapper, *, as_json: bool) -> None:
        self.out = out
        self.err = err
        self.as_json = as_json

    @property
    def width(self) -> int | None:
        """Return how wide the terminal is; None if it is none."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    def say(self, text: str) -> None:
        """Print a text, whatever the stream can hold."""
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        try:
            self.out.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self.out.flush()
        except BrokenPipeError:  # whoever reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)

    def clear(self) -> None:
        """Begin a new screen, on a terminal and for people."""
        if self.out.isatty() and not self.as_json:
            self.out.write("\x1b[H\x1b[2J", ending="")

    def give(self, value: Any) -> None:
        """Print a value for programs."""
        self.say(json.dumps(value))

    def answer(self, value: Any, text: str) -> None:
        """Print what programs get, or what people get."""
        self.give(value) if self.as_json else self.say(text)

    def note(self, text: str) -> None:
        """Print what is no part of the answer."""
        self.err.write(text, str)

    def confirm(self, what: str, *, yes: bool) -> None:
        """Ask whether to do it. Raises CommandError if it is not wanted, or nobody can say."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise CommandError(
                f"{what}? Nobody can be asked here. Add --yes to do it, or --dry-run to count only."
            )
        self.err.write(f"{what}? [y/N] ", str, "")
        self.err.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.")


class Progress:
    """How far a piece of work is: a bar on a terminal, else a line now and then."""

    def __init__(self, err: OutputWrapper, total: int, what: str) -> None:
        self._err = err
        self._total = total
        self._what = what
        self._tenths = 0

    def __enter__(self) -> "Progress":
        return self

    def at(self, done: int) -> None:
        """Show that so many are done."""
        share = min(done / self._total, 1.0) if self._total else 1.0
        said = f"{done:,} of {self._total:,} jobs {self._what}"
        if self._err.isatty():
            full = round(share * BAR)
            self._draw(f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  {said}")
        elif self._total >= MANY and self._tenths < int(share * LINES) < LINES:
            self._tenths = int(share * LINES)
            self._err.write(said, str)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._err.isatty():
            self._draw("")

    def _draw(self, text: str) -> None:
        self._err.write(f"\r\x1b[K{text}", str, "")
        self._err.flush()
