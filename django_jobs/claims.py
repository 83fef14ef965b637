"""What concerns several queues of one Redis at once: claim, beat, sweep; and their answers."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django_jobs.job import Claimed
from django_jobs.schedule import Due
from django_jobs.scripts import Call, get_script

BEATS_PER_LEASE = 5

Held = tuple[str | bytes, int | bytes, str | bytes]  # id, token, worker
Orphan = tuple[bytes, bytes, bytes]  # the same, as sweep found it


class Rooted(Protocol):
    """What a queue must say of itself here."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def keys(self) -> tuple[str, str]:
        """What its scripts declare."""


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """What a claim gave; `look` is in seconds until something falls due, None if unknown.

    `left` says whether claimable jobs are left, `limited` whether all that are wait for a limit.
    """

    jobs: list[Claimed]
    look: float | None
    left: bool
    limited: bool
    states: dict[str, str]  # queue -> ok | seen | closed | unregistered | what is wrong
    due: list[Due]  # schedules
    now: int  # Redis' clock, in ms


def new_worker() -> str:
    """Return a worker id that was never used before."""
    return secrets.token_hex(10)


def claim_call(
    queues: Sequence[Rooted],
    worker: str,
    number: int,
    lease: float,
    *,
    slots: int,
    ahead: int = 0,
) -> Call:
    """Take up to `slots` jobs, and `ahead` more that are not on their last attempt.

    The queues are in order of preference. A number that a worker used before, and a
    worker that is not registered under a queue, get nothing from it.
    """
    args = (worker, number, round(lease * 1000), slots, ahead)
    return Call(get_script("claim"), _all_keys(queues), args)


def read_claim(reply: list[Any], queues: Sequence[Rooted]) -> ClaimAnswer:
    """Read a claim's answer."""
    now, look, left, states, due, *rows = reply
    names = [queue.name for queue in queues]
    return ClaimAnswer(
        [Claimed(names[row[0] - 1], row, now) for row in rows],
        look / 1000 if look >= 0 else None,
        left == 1,
        left == 2,
        {name: state.decode() for name, state in zip(names, states, strict=True)},
        [Due.of(names[row[0] - 1], row) for row in due],
        now,
    )


def beat_call(queues: Sequence[Rooted], lease: float, workers: Sequence[str]) -> Call:
    """Register workers, and renew their leases; the answer names those that are closed."""
    return Call(get_script("beat"), _all_keys(queues), (round(lease * 1000), *workers))


def report_call(queues: Sequence[Rooted], workers: Mapping[str, str]) -> Call:
    """Write down what workers say of themselves; the answer is what they were told."""
    said = tuple(value for pair in workers.items() for value in pair)
    return Call(get_script("report"), _all_keys(queues), said)


def sweep_call(
    queues: Sequence[Rooted],
    worker: str,
    grace: float,
    cursors: Sequence[bytes],
    failed_ttls: Sequence[float | None],
) -> Call:
    """Look for dead workers, and for a bounded number of the jobs that they and `worker` hold."""
    args: list[str | bytes | int] = [worker, round(grace * 1000)]
    for cursor, ttl in zip(cursors, failed_ttls, strict=True):
        args += [cursor, "" if ttl is None else round(ttl * 1000)]
    return Call(get_script("sweep"), _all_keys(queues), args)


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """What a worker holds: its state, which of the known jobs stand, and what it did not know."""

    state: str
    stands: list[bool]
    unknown: list[tuple[str, int]]


def read_held(reply: list[Any]) -> HeldAnswer:
    """Read the answer to `Queue.held`."""
    state, known, *rest = reply
    return HeldAnswer(state.decode(), [answer == 1 for answer in rest[:known]], pairs(rest[known:]))


def pairs(flat: Sequence[bytes]) -> list[tuple[str, int]]:
    """Return ids and tokens from the flat list that a script answers with."""
    return [
        (id.decode("utf-8", "replace"), int(token) if token.isdigit() else 0)
        for id, token in zip(flat[::2], flat[1::2], strict=True)
    ]


def orphans(flat: Sequence[bytes]) -> list[Orphan]:
    """Return what sweep found; as bytes, for nobody knows who wrote them."""
    return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


def _all_keys(queues: Sequence[Rooted]) -> list[str]:
    return [key for queue in queues for key in queue.keys]
