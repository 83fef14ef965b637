"""When a schedule is due: by a cron expression in a time zone, or every so often."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LONGEST = timedelta(days=366)
MISSED = ("once", "skip")
UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """`every` is in ms, from the epoch on; `timezone` is that of `cron`."""

    cron: str = ""
    every: int = 0
    timezone: str = ""

    def after(self, moment: int) -> int:
        """Return the first occurrence after a moment (both in ms). Raises ValueError for nonsense."""
        if self.every > 0:
            return (moment // self.every + 1) * self.every
        try:
            start = datetime.fromtimestamp(moment / 1000, ZoneInfo(self.timezone))
            # In the hour that comes twice in autumn, CronSim also names what was in the first one.
            return next(at for at in map(_ms, CronSim(self.cron, start)) if at > moment)
        except (CronSimError, KeyError, ValueError, OSError, StopIteration) as error:
            raise ValueError(f"no occurrence of {self} can be found: {error!r}") from error

    def __str__(self) -> str:
        return f"{self.expression} ({self.timezone})" if self.timezone else self.expression

    @property
    def expression(self) -> str:
        """Return the cron expression, or `every 1h 30m`."""
        if self.cron:
            return self.cron
        rest, parts = self.every, []
        for unit, size in UNITS.items():
            if rest >= size:
                parts.append(f"{rest // size}{unit}")
                rest %= size
        return " ".join(["every", *parts])

    @property
    def words(self) -> str:
        """Return in English what the cron expression says; empty if there is none."""
        try:
            return CronSim(self.cron, datetime.now(UTC)).explain() if self.cron else ""
        except CronSimError:
            return ""


def read_rhythm(cron: object, every: object, timezone: object) -> Rhythm | None:
    """Return when something is due; None if neither is given. Raises ValueError.

    Without a time zone it is for the caller to say which counts.
    """
    if cron is None and every is None:
        if timezone is not None:
            raise ValueError('timezone needs a cron expression: cron="0 3 * * *".')
        return None
    if cron is not None and every is not None:
        raise ValueError("cron and every exclude each other: give one of them.")
    if cron is None:
        if timezone is not None:
            raise ValueError("timezone is of no use with every, which counts from the epoch on.")
        return Rhythm(every=_check_every(every))
    zone = "" if timezone is None else _check_zone(timezone)
    return Rhythm(_check_cron(cron), timezone=zone)


def check_missed(missed: object) -> str:
    """Return what becomes of what was missed. Raises ValueError if it is no such word."""
    if missed not in MISSED:
        raise ValueError(f"missed is {missed!r}, not 'once' (one job for all) or 'skip' (none).")
    return str(missed)


def _check_cron(cron: object) -> str:
    if not isinstance(cron, str) or len(cron.split()) != 5:
        raise ValueError(
            f"cron is {cron!r}, not five fields: minute, hour, day of month, month, day of week,"
            ' as in "0 3 * * *".'
        )
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except CronSimError as error:
        raise ValueError(f"cron is {cron!r}: {error}.") from error
    except StopIteration:
        raise ValueError(f"cron is {cron!r}, which never comes.") from None
    return " ".join(cron.split())


def _check_every(every: object) -> int:
    interval = every if isinstance(every, timedelta) else None
    if isinstance(every, int | float) and not isinstance(every, bool) and abs(every) < 10**9:
        interval = timedelta(seconds=every)
    if interval is None or not timedelta(seconds=1) <= interval <= LONGEST:
        raise ValueError(
            f"every is {every!r}, not a number of seconds, or a timedelta,"
            " from one second to 366 days."
        )
    return round(interval.total_seconds() * 1000)


def _check_zone(name: object) -> str:
    try:
        return ZoneInfo(str(name)).key
    except (KeyError, ValueError, OSError):
        raise ValueError(f"timezone is {name!r}, which is none: say Europe/Berlin, say.") from None


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
