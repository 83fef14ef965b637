"""Numbers, times and names as a line of a terminal can show them."""

import re
import unicodedata
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from django.utils import timezone

from django_jobs.runner import read_whole

UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}  # seconds
GAP = 2  # blanks between columns
NARROW, WIDEST = 8, 500  # cells of a column that may be cut


def period(text: str) -> float:
    """Read `30s`, `10m`, `2h` or `3d` as seconds."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}[smhd]", text):
        raise ArgumentTypeError(f"{text!r} is not a time: write 30s, 10m, 2h or 3d")
    return float(int(text[:-1]) * UNITS[text[-1]])


def number(text: str) -> int:
    """Read how many are wanted."""
    try:
        return read_whole(text, 1_000_000)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def span(seconds: float) -> str:
    """Return a time in the largest unit of which it has two, or one that fits."""
    whole = round(seconds)
    for unit, size in UNITS.items():
        if whole >= 2 * size or (whole >= size and whole % size == 0):
            return f"{whole // size}{unit}"
    return f"{whole}s"


def age(at: datetime | None, now: float) -> str:
    """Return how long ago a time was, or that it lies ahead; `now` in ms."""
    if at is None:
        return ""
    seconds = now / 1000 - at.timestamp()
    return span(seconds) if seconds >= 0 else f"in {span(-seconds)}"


def moment(at: datetime | None, now: float) -> str:
    """Return a time by the project's time zone, and its age."""
    if at is None:
        return ""
    ahead = at.timestamp() > now / 1000
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M:%S %Z} ({age(at, now)}{'' if ahead else ' ago'})"


def count(number: int, noun: str) -> str:
    """Return `no jobs`, `1 job`, `1,234 jobs`."""
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s" if number else f"no {noun}s"


def sentence(text: str) -> str:
    """Return a text with a capital letter at its beginning, and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def plain(text: str, keep: str = "") -> str:
    """Return a text that moves no cursor: what cannot be printed is written as its number."""
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode()
        for char in text
    )


def indented(text: str) -> str:
    """Return the lines of a text two blanks to the right."""
    return "\n".join(f"  {line}".rstrip() for line in plain(text, "\n\t").split("\n"))


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, whole: Sequence[str]
) -> str:
    """Return columns side by side, the widest cut until all fit, but for those named `whole`."""
    lines = [[plain(" ".join(cell.split())) for cell in row] for row in (head, *rows)]
    wide = [min(WIDEST, max(map(cells, column))) for column in zip(*lines, strict=True)]
    over = 0 if width is None else sum(wide) + GAP * (len(wide) - 1) - width
    while over > 0:
        most = max(range(len(wide)), key=lambda i: 0 if head[i] in whole else wide[i])
        if wide[most] <= NARROW:
            break
        wide[most] -= 1
        over -= 1
    return "\n".join((" " * GAP).join(map(_fitted, line, wide)).rstrip() for line in lines)


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _fitted(text: str, wide: int) -> str:
    if cells(text) > wide:
        kept = sum(size < wide for size in accumulate(map(_cells, text)))
        text = f"{text[:kept]}…"
    return text + " " * (wide - cells(text))
