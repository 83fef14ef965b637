"""What hides secrets wherever jobs are shown: values whose key says that they are secret."""

import re
from collections.abc import Iterable
from typing import Any

HIDDEN = "********"
# Django's debug page also hides what contains API, AUTH, KEY or PASS. Of a job that would hide
# the author, the key of a file and the passengers: such words are here with their company.
NAMES = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "authorization",
    "api_key",
    "access_key",
    "private_key",
    "credential",
    "signature",
    "cookie",
)

SPACE = r"[^\S\r\n]*+"
BETWEEN = "[-_. ]"  # may stand between any two letters of a name
# Atomic and possessive, so that no text, however hostile, takes more than linear time.
PAIR = rf"""
    (?P<lead>
        (?<![\w-]) (?>[\w-]*?(?:NAMES)) [\w-]*+                                  # the key
        (?: (?P<header>{SPACE}:) | \\*["']? [\])]? {SPACE} (?:!?=++>?|:) ) {SPACE}
        (?: [a-z]{{0,2}} (?P<quote> \\*(?:\"{{3}}|'{{3}}|["']) ) )?              # as in b"..."
    )
    (?(quote) (?s:.*?) (?=(?<!\\)(?P=quote)|\Z)                                  # or cut off
    | (?(header) [^\r\n]++
    | (?=[^\s&]) (?:(?:basic|bearer|digest|token)[ \t]++)? [^\s&(\[{{<]*+ (?:[(\[{{<][^\r\n]*+)? ))
"""
# What PAIR has hidden already stays: to do it twice is to do it once.
USERINFO = re.compile(rf"(//[^\s/:@?#\"'\])]*+:)(?:(?!{re.escape(HIDDEN)})[^\s/?#])*@")


class Redactor:
    """Hide each value whose key contains one of the names.

    Neither case nor `-`, `_`, `.` and spaces count: `api_key` hides `X-Api-Key` and `apiKey`,
    and `token` hides `max_tokens` and `tokenizer` too. Better too much than too little.
    """

    def __init__(self, names: Iterable[str]) -> None:
        plain = [re.sub(BETWEEN, "", name) for name in names]
        any_name = "|".join(f"{BETWEEN}*+".join(map(re.escape, name)) for name in plain) or "(?!)"
        self._off = not plain
        self._name = re.compile(any_name, re.IGNORECASE)
        self._pair = re.compile(PAIR.replace("NAMES", any_name), re.IGNORECASE | re.VERBOSE)

    def value(self, payload: Any) -> Any:
        """Return a copy of what was JSON, at any depth, with `text` done to its strings."""
        top = {"": payload}
        todo: list[dict[Any, Any] | list[Any]] = [top]  # no recursion: JSON may be deeper
        while todo:
            node = todo.pop()
            for key, item in node.items() if isinstance(node, dict) else enumerate(node):
                node[key] = shown = self._item(key, item)
                if isinstance(shown, dict | list):
                    todo.append(shown)
        return top[""]

    def _item(self, key: object, item: Any) -> Any:
        if isinstance(key, str) and self._name.search(key):
            return HIDDEN
        if isinstance(item, str):
            return self.text(item)
        return item.copy() if isinstance(item, dict | list) else item

    def text(self, text: str) -> str:
        """Hide what follows a key and `=` or `:`, and the passwords of URLs.

        In quotes that is all up to the closing one; after `Key:` the line; else a word, or the
        line if a bracket opens.
        """
        if self._off:
            return text
        return USERINFO.sub(rf"\1{HIDDEN}@", self._pair.sub(rf"\g<lead>{HIDDEN}", text))
