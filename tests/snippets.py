"""Runs the Python of a document inside a project; its blocks come as JSON from stdin.

A block that begins with a file's name was written there; here its views are called. The
others run in order. `expression  # -> value` is checked.
"""

import inspect
import json
import re
import sys
from typing import Any

import django
from asgiref.sync import async_to_sync
from django.test import RequestFactory

SHOWN = re.compile(r"^(\S.*?)  # -> (.+)$", re.MULTILINE)


def check(value: object, shown: str) -> None:
    """Compare a value with what the document shows."""
    assert repr(value) == shown, f"the document shows {shown}, it is {value!r}"


def main() -> None:
    """Run the blocks, then call the views."""
    django.setup()
    from shop.models import Order

    scope: dict[str, Any] = {"order": Order.objects.create(), "check_shown": check}
    for where, text in json.load(sys.stdin):
        source = SHOWN.sub(lambda found: f"check_shown({found[1]}, {found[2]!r})", text)
        exec(compile(source, where, "exec"), scope)
    try:
        from shop import views
    except ImportError:
        return
    for view in vars(views).values():
        if inspect.isfunction(view) and list(inspect.signature(view).parameters) == ["request"]:
            call = async_to_sync(view) if inspect.iscoroutinefunction(view) else view
            assert call(RequestFactory().post("/")).status_code == 200


main()
