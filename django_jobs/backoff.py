"""How long a job waits before its next attempt."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

Seconds = float | timedelta
Backoff = Seconds | Sequence[Seconds] | Callable[[int, BaseException], Seconds]

FIRST = 5.0
LONGEST = 3600.0


def delay(policy: Backoff | None, attempt: int, error: BaseException) -> float:
    """Return the seconds to wait after `attempt` (1-based) ended with `error`.

    None is exponential with full jitter: anything from 0 to 5 s, 10 s, 20 s ... an hour
    (M. Brooker, "Exponential Backoff And Jitter", 2015). A sequence's last number repeats.
    """
    if policy is None:
        return random.uniform(0, min(LONGEST, FIRST * 2 ** min(attempt - 1, 20)))
    if callable(policy):
        return seconds(policy(attempt, error))
    if isinstance(policy, Sequence):
        return seconds(policy[min(attempt, len(policy)) - 1])
    return seconds(policy)


def seconds(value: Seconds) -> float:
    """Return a number of seconds, or a timedelta, as seconds that are not negative."""
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    return max(0.0, number)


def problem(policy: object) -> str:
    """Say what is wrong with a backoff; empty if nothing is."""
    if policy is None or callable(policy):
        return ""
    values = policy if isinstance(policy, list | tuple) else [policy]
    if not values:
        return "is an empty list"
    for value in values:
        number = value.total_seconds() if isinstance(value, timedelta) else value
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not 0 <= number < 2**31
        ):
            return f"has {value!r}: give seconds from 0 on, or a timedelta"
    return ""
