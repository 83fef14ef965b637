"""A traceback's text as frames, so that a page can fold those that are not the project's own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

FRAME = re.compile(r'  File "(?P<path>[^"\n]*)", line (?P<line>\d+), in (?P<function>[^\n]*)\n?')
HEADER = "Traceback (most recent call last):"
LIBRARY = re.compile(r"site-packages/|dist-packages/|/lib/python|^<frozen|/django_jobs/")


@dataclass(slots=True)
class Part:
    """A frame, or (without a path) text between frames."""

    text: str = ""
    path: str = ""
    line: str = ""
    function: str = ""
    open: bool = False

    @property
    def place(self) -> str:
        """Return the end of the path, which says most."""
        inside = re.split(r"(?:site|dist)-packages/|/lib/python[\d.]+/", self.path)[-1]
        return "/".join(inside.split("/")[-3:])


def parts(traceback: str) -> list[Part]:
    """Return the frames and what stands between them; own code is open."""
    found = [replace(part, text=part.text.strip("\n")) for part in _parts(traceback)]
    frames = [part for part in found if part.path]
    if frames and not any(part.open for part in frames):
        frames[-1].open = True
    return found


def _parts(traceback: str) -> Iterator[Part]:
    current = Part()
    for line in traceback.splitlines(keepends=True):
        match = FRAME.match(line)
        if match or (current.path and not line.startswith("    ")):
            if current.text or current.path:
                yield current
            current = Part()
        if line.startswith(HEADER) or not (line.strip() or current.text):
            continue
        if match:
            own = not LIBRARY.search(match["path"].replace("\\", "/"))
            current = Part(**match.groupdict(), open=own)
        else:
            current.text += line[4:] if current.path else line
    if current.text or current.path:
        yield current
