"""The setting JOBS: its defaults, what is wrong with it, and who wins."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any
from urllib.parse import urlsplit

import environ
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from redis import ConnectionPool

from django_jobs import address, backoff, keys
from django_jobs.handlers import NAME, check_max_attempts
from django_jobs.job import MAX_ATTEMPTS
from django_jobs.limits import Limits, check_concurrency, check_rate
from django_jobs.redact import NAMES, Redactor

LOCAL = "redis://127.0.0.1:6379/0"
ENVIRONMENT = ("JOBS_URL", "REDIS_URL")
SCHEMES = (*address.ONE, *address.SENTINEL, *address.CLUSTER, "embedded://")
RANGES: dict[str, tuple[float, int, str]] = {
    "LEASE": (1, 3600, "seconds"),
    "UNKNOWN_HANDLER_WAIT": (0, 10**8, "seconds"),
    "TIMEOUT": (0.001, 10**8, "seconds"),
    "FAILED_TTL": (0.001, 10**8, "seconds"),
    "RESULT_TTL": (0, 10**8, "seconds"),
    "MAX_PAYLOAD": (1, 512 * 2**20, "bytes"),
}
OF_A_QUEUE = (
    *("MAX_ATTEMPTS", "BACKOFF", "TIMEOUT", "FAILED_TTL", "RESULT_TTL"),
    *("CONCURRENCY", "RATE_LIMIT", "HANDLER"),
)


@dataclass(frozen=True)
class Settings:
    """What JOBS says. Per queue the last eight may be given too, and a URL."""

    URL: str = ""
    PREFIX: str = "jobs"
    QUEUES: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    SCHEDULES: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    LEASE: float = 15.0  # seconds
    MAX_PAYLOAD: int = 1_048_576  # bytes
    UNKNOWN_HANDLER_WAIT: float = 900.0  # seconds
    MIDDLEWARE: Sequence[str] = ()  # dotted paths
    REDACT: Sequence[str] = NAMES
    OUTBOX_FALLBACK: bool = True
    RELEASE: str = ""  # of the project's code, for whoever looks at workers
    MAX_ATTEMPTS: int = MAX_ATTEMPTS
    BACKOFF: backoff.Backoff | None = None
    TIMEOUT: float | None = None  # seconds
    FAILED_TTL: float | None = None  # seconds
    RESULT_TTL: float = 0  # seconds
    CONCURRENCY: int | None = None  # jobs of a queue that run at once, over all workers
    RATE_LIMIT: str | None = None  # jobs of a queue that begin in a time: see Limits
    HANDLER: str | None = None  # of what other programs push straight into Redis

    def of_queue(self, queue: str, name: str) -> Any:
        """Return a queue's own value of a setting, else the one for all queues."""
        return self.QUEUES.get(queue, {}).get(name, getattr(self, name))

    def limits(self, queue: str) -> Limits:
        """Return the limits of a queue."""
        return Limits(self.of_queue(queue, "CONCURRENCY"), self.of_queue(queue, "RATE_LIMIT"))

    def url(self, queue: str) -> str:
        """Return the Redis URL of a queue. Raises ImproperlyConfigured for a bad environment."""
        if own := self.QUEUES.get(queue, {}).get("URL") or self.URL:
            return str(own)
        env = environ.Env()
        name = next((name for name in ENVIRONMENT if env.str(name, "")), "")
        url = env.str(name, "") if name else LOCAL
        if problem := url_problem(url):
            raise ImproperlyConfigured(f"{name} in the environment: {problem}")
        return url

    @cached_property
    def redactor(self) -> Redactor:
        """Return what hides the values that REDACT names."""
        return Redactor(self.REDACT)


def get_settings() -> Settings:
    """Return the settings in force. Raises ImproperlyConfigured if JOBS is wrong."""
    return _read(_override.get("PREFIX"))


@cache
def _read(prefix: str | None) -> Settings:
    raw = getattr(django_settings, "JOBS", {})
    if found := problems(raw):
        raise ImproperlyConfigured("JOBS: " + " ".join(found))
    return Settings(**{**raw, **({"PREFIX": prefix} if prefix else {})})


_override: dict[str, str] = {}


def use_prefix(prefix: str) -> None:
    """Let this process use another PREFIX than the settings say; for tests."""
    _override["PREFIX"] = prefix


def url_problem(url: object) -> str:
    """Say what is wrong with a Redis URL, without its password; empty if nothing is."""
    if not isinstance(url, str) or not url.startswith(SCHEMES):
        return f"it begins with none of {', '.join(SCHEMES)}."
    try:
        if url.startswith(address.ONE):
            ConnectionPool.from_url(url).make_connection()  # builds it, does not connect
        elif not url.startswith("embedded:"):
            address.read_url(url)
        parts = urlsplit(url)
    except address.BadURL as error:
        return str(error)
    except (TypeError, ValueError):
        return (
            "host, port or options cannot be read, as in redis://:password@host:6379/0."
            " In a password write %2F %23 %3F %40 for / # ? @."
        )
    is_number = parts.scheme == "unix" or re.fullmatch(r"/?\d*", parts.path)
    if url.startswith(address.ONE) and (parts.fragment or not is_number):
        return "what follows host and port is not the number of a database, as in /0."
    return ""


def without_password(url: str) -> str:
    """Return a Redis URL as it may be shown."""
    return re.sub(r"//.*@", "//", url.partition("?")[0])


def problems(raw: object) -> list[str]:
    """Say what is wrong with a JOBS setting, one sentence each."""
    if not isinstance(raw, Mapping):
        return [f"it is a {type(raw).__name__}, not a dictionary."]
    known = {item.name for item in fields(Settings)}
    found = [f"{name!r} is no setting." for name in raw if name not in known]
    found += _problems_of(raw, "")
    queues = raw.get("QUEUES", {})
    if not isinstance(queues, Mapping):
        return [*found, "QUEUES is not a dictionary of queue names."]
    for queue, own in queues.items():
        found += _problems_of_queue(queue, own)
    return found


def _problems_of_queue(queue: object, own: object) -> list[str]:
    try:
        keys.root("", str(queue))
    except ValueError as error:
        return [f"QUEUES: {error}"]
    if not isinstance(own, Mapping):
        return [f"QUEUES[{queue!r}] is not a dictionary."]
    unknown = [name for name in own if name not in (*OF_A_QUEUE, "URL")]
    found = [f"QUEUES[{queue!r}]: {name!r} is no setting of a queue." for name in unknown]
    return found + _problems_of(own, f"QUEUES[{queue!r}]: ")


def _problems_of(raw: Mapping[str, Any], where: str) -> list[str]:
    found = []
    for name, value in raw.items():
        try:
            _check(name, value)
        except (TypeError, ValueError) as error:
            found.append(f"{where}{name}: {error}")
    return found


def _check(name: str, value: Any) -> None:
    if name == "URL" and value and (problem := url_problem(value)):
        raise ValueError(problem)
    if name == "PREFIX" and (not isinstance(value, str) or not keys.PREFIX.match(value)):
        raise ValueError(f"{value!r} is not made of A-Z a-z 0-9 _ . : -")
    if name == "BACKOFF" and (problem := backoff.problem(value)):
        raise ValueError(f"{problem}.")
    if name in CHECKS:
        CHECKS[name](value)
    if name in RANGES and not (value is None and name in ("TIMEOUT", "FAILED_TTL")):
        _check_range(value, *RANGES[name])


def _check_schedules(value: object) -> None:
    """Look at what everybody needs: that the queues can be told. The rest is in `schedules`."""
    if not isinstance(value, Mapping) or not all(isinstance(v, Mapping) for v in value.values()):
        raise ValueError("it is not a dictionary of names, and of a dictionary for each.")
    for name, one in value.items():
        if "queue" in one:
            try:
                keys.root("", one["queue"])
            except (TypeError, ValueError) as error:
                raise ValueError(f"schedule {name!r}: {error}") from error


def _check_names(value: object) -> None:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} is not a list of names.")
    for name in value:
        if not isinstance(name, str) or not re.search(r"[^\W_]", name):
            raise ValueError(f"{name!r} is no name.")


def _check_release(value: object) -> None:
    if not isinstance(value, str) or len(value) > 100 or not value.isprintable():
        raise ValueError(f"{value!r} is not a text of up to 100 characters.")


def _check_handler(value: object) -> None:
    if value is not None and not (isinstance(value, str) and NAME.match(value)):
        raise ValueError(f"{value!r} is not the name of a handler.")


def _check_switch(value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither True nor False.")


CHECKS: dict[str, Callable[[Any], object]] = {
    "MAX_ATTEMPTS": check_max_attempts,
    "CONCURRENCY": check_concurrency,
    "RATE_LIMIT": check_rate,
    "SCHEDULES": _check_schedules,
    "REDACT": _check_names,
    "MIDDLEWARE": _check_names,
    "HANDLER": _check_handler,
    "RELEASE": _check_release,
    "OUTBOX_FALLBACK": _check_switch,
}


def _check_range(value: object, least: float, most: int, unit: str) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None or not least <= number <= most:
        raise ValueError(f"{value!r} is not a number of {unit} from {least:,} to {most:,}.")


def _forget(*, setting: str, **_: object) -> None:
    if setting in ("JOBS", "INSTALLED_APPS"):
        _read.cache_clear()


setting_changed.connect(_forget)
