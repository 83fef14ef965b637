"""How many jobs of a queue may run at once, and begin in a time."""

import re
from dataclasses import dataclass

RATE = re.compile(r"(?P<jobs>[1-9]\d{0,8})/(?P<unit>[smhd])(?: burst (?P<burst>[1-9]\d{0,8}))?")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AT_ONCE = 0.1  # seconds' worth of jobs that may begin together


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a queue, over all workers: `rate` like "50/s" or "1000/h burst 20".

    Raises ValueError for what is none.
    """

    concurrency: int | None = None
    rate: str | None = None

    def __post_init__(self) -> None:
        """Check both."""
        check_concurrency(self.concurrency)
        check_rate(self.rate)

    def __str__(self) -> str:
        """Return them as they stand in Redis; empty if there are none."""
        words = [] if self.concurrency is None else [f"concurrency={self.concurrency}"]
        if self.rate is not None and (match := RATE.fullmatch(self.rate)):
            jobs, unit = int(match["jobs"]), match["unit"]
            burst = int(match["burst"] or max(1, jobs * AT_ONCE // UNITS[unit]))
            words += [f"rate={jobs}/{unit}", f"burst={burst}"]
        return " ".join(words)

    @property
    def words(self) -> str:
        """Return them for people; empty if there are none."""
        some = [] if self.concurrency is None else [f"{self.concurrency} at once"]
        return ", ".join(some + ([self.rate] if self.rate else []))

    @classmethod
    def read(cls, text: str) -> "Limits":
        """Read what stands in Redis, as it was said; what is not understood is no limit."""
        said = dict(re.findall(r"(\w+)=(\S+)", text))
        concurrency, rate = said.get("concurrency", ""), said.get("rate", "")
        burst = said.get("burst", "1")
        if RATE.fullmatch(rate) and str(cls(rate=rate)) != f"rate={rate} burst={burst}":
            rate += f" burst {burst}"
        return cls(
            int(concurrency) if re.fullmatch(r"[1-9]\d{0,8}", concurrency) else None,
            rate if RATE.fullmatch(rate) else None,
        )


def check_concurrency(value: object) -> None:
    """Raise ValueError unless it is a number of jobs, or None."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 10**9:
        raise ValueError(f"{value!r} is not a whole number of jobs from 1 on.")


def check_rate(value: object) -> None:
    """Raise ValueError unless it is a rate as Limits takes it, or None."""
    if value is None or (isinstance(value, str) and RATE.fullmatch(value)):
        return
    raise ValueError(
        f"{value!r} is no rate like '50/s', '1000/h' or '600/m burst 20' (s, m, h, d)."
    )
