"""The form in which a payload is edited: what was hidden in it and left so stays as it was."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from django_jobs.exceptions import PayloadError
from django_jobs.job import decode_payload
from django_jobs.redact import HIDDEN, Redactor


@dataclass(frozen=True, slots=True)
class Draft:
    """A payload as it is edited: the bytes it is made from, and the text of the form."""

    raw: bytes
    redactor: Redactor

    @property
    def seen(self) -> str:
        """Return what tells this payload from another."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """Return the text that is edited, secrets hidden."""
        try:
            value = self.redactor.value(decode_payload(self.raw))
            text = json.dumps(value, indent=2, ensure_ascii=False)
        except (PayloadError, RecursionError):
            return self.redactor.text(self.raw.decode("utf-8", "replace"))
        try:
            text.encode()
        except UnicodeEncodeError:  # half a pair of surrogates, which no page can hold
            return json.dumps(value, indent=2)
        return text

    @property
    def hides(self) -> bool:
        """Say whether anything is hidden."""
        return HIDDEN in self.text

    def read(self, text: str) -> Any:
        """Return the new payload. Raises ValueError with a sentence for whoever wrote it."""
        try:
            edited = json.loads(text)
            try:
                original = decode_payload(self.raw)
                shown = self.redactor.value(decode_payload(self.raw))
            except PayloadError:
                original = shown = None
            return _restored(original, shown, edited)
        except json.JSONDecodeError as error:
            where = {"line": error.lineno, "column": error.colno, "error": error.msg}
            raise ValueError(
                _("This is not JSON, line %(line)s, column %(column)s: %(error)s") % where
            ) from error
        except RecursionError as error:
            raise ValueError(_("This is nested too deeply.")) from error


def _restored(original: Any, shown: Any, edited: Any) -> Any:
    """Return what was edited, with the original where it is as it was shown.

    In a list that only holds for elements that are unchanged as a whole: of others nobody
    knows whose secret it is.
    """
    if isinstance(edited, dict) and isinstance(shown, dict):
        return {
            key: _restored(original[key], shown[key], value) if key in shown else _plain(value)
            for key, value in edited.items()
        }
    if isinstance(edited, list) and isinstance(shown, list) and len(edited) == len(shown):
        return [
            old if _same(seen, new) else _plain(new)
            for old, seen, new in zip(original, shown, edited, strict=True)
        ]
    return original if _same(shown, edited) else _plain(edited)


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _plain(value: Any) -> Any:
    if HIDDEN in json.dumps(value):
        raise ValueError(
            _("%(hidden)s stands where nothing is hidden: write the value that is meant.")
            % {"hidden": HIDDEN}
        )
    return value
