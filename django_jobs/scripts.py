"""Lua scripts, and calls of them.

A script is the file of its name in `lua/`, with the prelude put in after its first
line, because `#!` must be the first bytes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "lua"
PRELUDE = (
    "_keys",
    "_limits",
    "_held",
    "_place",
    "_batch",
    "_errors",
    "_unique",
    "_groups",
    "_return",
    "_operate",
)
PRELUDE_OF = {
    "claim": ("_admit", "_waiting", "_claim", "_start", "_room", "_turns", "_take", "_alarm"),
    "empty": ("_waiting", "_claim"),
    "push": ("_gather", "_join", "_push"),
    "retry": ("_revive",),
    "edit": ("_revive",),
    "configure": ("_force",),
    "limit": ("_force",),
    "sweep": ("_sweep", "_forget"),
}

Value = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name Redis gives it."""

    name: str
    text: str
    sha: str


@cache
def get_script(name: str) -> Script:
    """Return the script `lua/<name>.lua` with its prelude."""
    first, rest = _read(name).split("\n", 1)
    parts = [_read(part) for part in PRELUDE + PRELUDE_OF.get(name, ())]
    text = "\n".join([first, *parts, rest])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Call:
    """One script with its keys and arguments, ready to be sent."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Value]

    def command(self, *, whole: bool = False) -> tuple[Value, ...]:
        """Return the Redis command; `whole` sends the text, for a server that lost it."""
        verb, body = ("EVAL", self.script.text) if whole else ("EVALSHA", self.script.sha)
        return (verb, body, len(self.keys), *self.keys, *self.args)
