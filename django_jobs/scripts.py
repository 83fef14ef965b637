"""Lua scripts, and calls of them.

A script is the file of its name in `lua/`. The files with an underscore are the prelude:
what the scripts share. A script gets those parts of it that it uses, since each function
costs it time, put in after the first line, because `#!` must be the first bytes.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "lua"
# In this order: what a part uses stands before it.
PRELUDE = (
    *("_keys", "_limits", "_held", "_place", "_batch", "_errors", "_unique", "_groups"),
    *("_return", "_operate", "_revive", "_gather", "_join", "_push", "_force"),
    *("_admit", "_waiting", "_claim", "_adopt", "_start", "_room", "_turns", "_take", "_alarm"),
    *("_due", "_sweep", "_forget", "_schedules", "_define", "_fire"),
)
DEFINES = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
NO_CODE = re.compile(r"'[^']*'|--.*")

Value = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name Redis gives it."""

    name: str
    text: str
    sha: str


@cache
def get_script(name: str) -> Script:
    """Return the script `lua/<name>.lua` with what it uses of the prelude."""
    first, body = _read(name).split("\n", 1)
    used = set(_words(body))
    for part in reversed([part for file in PRELUDE for part in _read(file).split("\n\n")]):
        if used & set(DEFINES.findall(part)):
            used.update(_words(part))
            body = f"{part}\n{body}"
    text = f"{first}\n{body}"
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", NO_CODE.sub("", text))


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
