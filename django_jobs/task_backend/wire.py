"""How a task travels: its id, its arguments, and in what it differs from the one in the code."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string

from django_jobs.exceptions import PayloadError
from django_jobs.job import check_keys, new_id
from django_jobs.task_backend.options import errors_of

CHANGED = b'{"using":'  # how the payload of a task begins that differs
UUID = re.compile(
    r"[0-9a-f]{12}7[0-9a-f]{19}\Z"
)  # of version 7: the first 12 digits are a time in ms
MARK = 4  # digits: 58 random bits are left


@lru_cache(maxsize=4096)
def mark(queue: str) -> str:
    """Return what the ids of a queue's tasks end with; few queues, if any, share a mark."""
    return hashlib.blake2s(queue.encode(), digest_size=MARK // 2).hexdigest()


def new_task_id(queue: str) -> str:
    """Return a new job id that leads to its queue."""
    return new_id()[:-MARK] + mark(queue)


def made_at(id: str) -> datetime:
    """Return when an id was made, by the clock of whoever made it."""
    return datetime.fromtimestamp(int(id[:12], 16) / 1000, UTC)


def _refuse(value: object) -> None:
    raise TypeError(f"Unsupported type: {type(value)}")


encode = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_refuse
).encode
decode = json.JSONDecoder().decode


def round_trip(value: Any) -> Any:
    """Return what arrives when a value is sent. Raises TypeError, ValueError if it is not JSON."""
    if value is None:
        return None
    text = encode(value)
    check_keys(value)
    return decode(text)


def read_call(payload: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Return arguments, named arguments and changes. Raises PayloadError if it is none of ours."""
    try:
        args, kwargs, changes = payload["args"], payload["kwargs"], payload.get("using", {})
    except (TypeError, KeyError, AttributeError):
        args = kwargs = changes = None
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(changes, dict)):
        raise PayloadError('The payload of a task is {"args": [...], "kwargs": {...}}.')
    return args, kwargs, changes


def changes_of(task: Any, declared: Any) -> dict[str, Any]:
    """Return in what a task differs from the one at its path. Raises ValueError, ImportError."""
    found = {}
    for field in fields(task):
        value = getattr(task, field.name)
        if value != getattr(declared, field.name, None):
            found[field.name] = _plain(field.name, value)
    return found


def changed(task: Any, changes: Mapping[str, Any]) -> Any:
    """Return the task with these changes, unchecked: settings may be other ones by now."""
    if not changes:
        return task
    found = object.__new__(type(task))
    for field in fields(task):
        if field.name in changes:
            value = _read(field.name, changes[field.name])
        else:
            value = getattr(task, field.name)
        object.__setattr__(found, field.name, value)
    return found


def _plain(name: str, value: Any) -> Any:
    if name == "retry_on" and value is not None:
        return [_path(one) for one in (value if isinstance(value, tuple) else (value,))]
    if name == "backoff" and callable(value):
        return _path(value)
    if name == "backoff" and isinstance(value, list | tuple):
        return [_seconds(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else _seconds(value)


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _read(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "retry_on":
        return errors_of(value)
    if name == "backoff" and isinstance(value, str):
        return import_string(value)
    if name == "delay":
        return timedelta(seconds=value)
    return datetime.fromisoformat(value) if name == "run_after" else value


def _path(value: Any) -> str:
    path = f"{value.__module__}.{value.__qualname__}"
    if import_string(path) is not value:
        raise ValueError(f"{path} is another one: a worker could not find {value!r}.")
    return path
