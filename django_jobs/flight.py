"""The table of jobs a worker holds, in memory shared with its supervisor.

A slot's state byte is written last; it is freed when its settle was answered, so what
a dead worker had begun, and what had ended, can be told apart.
"""

import struct
import time
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from operator import attrgetter
from typing import cast

FREE, HELD, STARTED, SUCCEEDED, RETRY, FAILED, KEPT = range(7)

ERROR_BYTES = 512
_HEADER = struct.Struct("32sd")  # worker id, last turn of its main loop (monotonic)
_DEADLINE = struct.Struct("d")  # monotonic seconds, 0 = none
_JOB = struct.Struct("dQQII64s64s")  # deadline, number, token, attempt, max_attempts, queue, id
_OUTCOME = struct.Struct(f"dH{ERROR_BYTES}s")  # delay in seconds, length of the error, error
_SLOT = _JOB.size + _OUTCOME.size


@dataclass(frozen=True, slots=True)
class Flight:
    """One held job, as the supervisor reads it."""

    number: int  # rises with each job held
    state: int
    queue: str
    id: str
    token: int
    attempt: int
    max_attempts: int
    deadline: float
    delay: float
    error: bytes


class FlightTable:
    """A fixed number of slots; only the worker writes, the supervisor reads."""

    def __init__(self, context: BaseContext, slots: int) -> None:
        size = _HEADER.size + slots + slots * _SLOT
        self._memory = context.RawArray("B", size)
        self.slots = slots
        self._attach()

    def _attach(self) -> None:
        self._view = memoryview(self._memory).cast("B")
        first = _HEADER.size + self.slots
        self._at = [first + slot * _SLOT for slot in range(self.slots)]
        self._free = list(range(self.slots))
        self._number = 0

    def __getstate__(self) -> dict[str, object]:
        """Send the shared memory alone to a spawned worker."""
        return {"_memory": self._memory, "slots": self.slots}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Look at the same memory from another process."""
        self.__dict__.update(state)
        self._attach()

    @property
    def worker(self) -> str:
        """Return the worker's id."""
        return cast(bytes, _HEADER.unpack_from(self._view)[0]).rstrip(b"\0").decode()

    @worker.setter
    def worker(self, id: str) -> None:
        _HEADER.pack_into(self._view, 0, id.encode(), time.monotonic())

    @property
    def last_turn(self) -> float:
        """Return when the worker's main loop turned last, in monotonic seconds."""
        return cast(float, _HEADER.unpack_from(self._view)[1])

    def turn(self) -> None:
        """Say that the main loop turns."""
        struct.pack_into("d", self._view, 32, time.monotonic())

    @property
    def room(self) -> int:
        """Return how many slots are free."""
        return len(self._free)

    def hold(self, queue: str, id: str, token: int, attempt: int, max_attempts: int) -> int:
        """Enter a job that was claimed; return its slot."""
        slot = self._free.pop()
        self._number += 1
        most = min(max_attempts, 2**32 - 1)
        job = (self._number, token, attempt, most, queue.encode(), id.encode())
        _JOB.pack_into(self._view, self._at[slot], 0.0, *job)
        self._view[_HEADER.size + slot] = HELD
        return slot

    def start(self, slot: int, deadline: float) -> None:
        """Say that the job runs; a deadline of 0 is none."""
        if deadline:
            _DEADLINE.pack_into(self._view, self._at[slot], deadline)
        self._view[_HEADER.size + slot] = STARTED

    def limit(self, queue: str, id: str, deadline: float) -> None:
        """Let a job's run have ended by then (monotonic), unless its deadline is nearer."""
        for slot in range(self.slots):
            found = self._read(slot, self._view[_HEADER.size + slot])
            near = 0 < found.deadline <= deadline
            if found.state and (found.queue, found.id) == (queue, id) and not near:
                _DEADLINE.pack_into(self._view, self._at[slot], deadline)

    def succeed(self, slot: int) -> None:
        """Say that the run succeeded."""
        self._view[_HEADER.size + slot] = SUCCEEDED

    def end(self, slot: int, state: int, delay: float, error: str) -> None:
        """Say that the run ended otherwise: RETRY or FAILED, or KEPT for so long, with its result."""
        raw = error.encode()[:ERROR_BYTES]
        at = self._at[slot] + _JOB.size
        _OUTCOME.pack_into(self._view, at, delay, len(raw), raw)
        self._view[_HEADER.size + slot] = state

    def free(self, slot: int) -> None:
        """Forget a job whose settle was answered."""
        self._view[_HEADER.size + slot] = FREE
        self._free.append(slot)

    def flights(self) -> list[Flight]:
        """Return every held job, in the order of their claims."""
        states = bytes(self._view[_HEADER.size : _HEADER.size + self.slots])
        found = [self._read(slot, state) for slot, state in enumerate(states) if state]
        return sorted(found, key=attrgetter("number"))

    def _read(self, slot: int, state: int) -> Flight:
        at = self._at[slot]
        deadline, number, token, attempt, most, queue, id = _JOB.unpack_from(self._view, at)
        delay, size, raw = _OUTCOME.unpack_from(self._view, at + _JOB.size)
        return Flight(
            number,
            state,
            queue.rstrip(b"\0").decode(),
            id.rstrip(b"\0").decode(),
            token,
            attempt,
            most,
            deadline,
            delay,
            raw[:size],
        )
