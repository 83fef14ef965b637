"""Whether the supervisor and its workers are well, in memory shared with its sidecars."""

import time
from collections.abc import Sequence
from multiprocessing.sharedctypes import RawArray

STUCK = 30.0  # seconds without a turn of a main loop until it is reported

_TURN, _OLDEST, _ANSWER, _WORKING = range(4)


class Vitals:
    """Only the supervisor writes; moments are monotonic, the same clock in every process."""

    def __init__(self) -> None:
        now = time.monotonic()
        self._numbers = RawArray("d", [now, now, now, 0])

    def note(self, now: float, turns: Sequence[float], *, working: bool) -> None:
        """Say that the supervisor turns, and when each of its workers did."""
        self._numbers[_TURN] = now
        self._numbers[_OLDEST] = min(turns, default=now)
        self._numbers[_WORKING] = working and bool(turns)

    def answered(self, now: float) -> None:
        """Say that Redis answered."""
        self._numbers[_ANSWER] = now

    def illness(self, away: float) -> str:
        """Say what is wrong with the supervisor, its workers, or a Redis away for longer; or ""."""
        turn, oldest, answer, _ = self._numbers
        now = time.monotonic()
        silences = (
            ("The supervisor has not turned", now - turn, STUCK),
            ("A worker's main loop has not turned", turn - oldest, STUCK),
            ("Redis has not answered", now - answer, away),
        )
        found = [
            f"{what} for {silence:.0f} s." for what, silence, limit in silences if silence > limit
        ]
        return " ".join(found)

    @property
    def working(self) -> bool:
        """Say whether there are workers that claim, and Redis answers."""
        return bool(self._numbers[_WORKING])
