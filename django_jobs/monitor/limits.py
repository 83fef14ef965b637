"""Which limits are in force and who set them; what they leave a job."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from django_jobs import keys
from django_jobs.limits import RATE, UNITS, Limits
from django_jobs.monitor.counts import milliseconds
from django_jobs.monitor.reading import ask, by_client, number, text
from django_jobs.queue import Queue
from django_jobs.record import JobRecord

NUMBER = re.compile(r"\d{1,15}(\.\d{1,20})?")  # ms
SAID = ("limits", "operator_limits", "settings_limits")


@dataclass(frozen=True, slots=True)
class InForce:
    """The limits of a queue; `by` is operator, settings, or empty where nobody set any."""

    limits: Limits
    by: str
    settings: Limits  # what the settings say, in force or not


@dataclass(frozen=True, slots=True)
class Room:
    """How many jobs of a job's limit key run, of how many; both are 0 where it has none.

    `waits_for` is key, queue or rate if that lets the job not begin now, else empty.
    """

    running: int
    limit: int
    waits_for: str
    limits: Limits  # of the queue


def in_force(queues: Iterable[Queue]) -> dict[str, InForce]:
    """Return the limits of each queue by its name, one round trip per Redis. Raises RedisError."""
    found = {}
    for group in by_client(queues):
        replies = ask(group[0], [("HMGET", f"{queue.root}:meta", *SAID) for queue in group])
        for queue, reply in zip(group, replies, strict=True):
            limits, operator, settings = reply or (None, None, None)
            by = "settings" if settings else ""
            found[queue.name] = InForce(
                Limits.read(text(limits)),
                by if operator is None else "operator",
                Limits.read(text(settings)),
            )
    return dict(sorted(found.items()))


def room_of(queue: Queue, job: JobRecord) -> Room:
    """Return what the limits leave a job. Raises RedisError."""
    key = hashlib.sha1(job.limit_key.encode(), usedforsecurity=False).hexdigest()
    meta, held, running, said, own, clock = ask(
        queue,
        [
            ("HMGET", f"{queue.root}:meta", "limits", "paid_until"),
            ("HLEN", f"{queue.root}:processing"),
            ("HGET", f"{queue.root}:running", key),
            ("HGET", f"{queue.root}:limit", key),  # what the last push of the key said
            ("HGET", keys.job(queue.root, job.id), "limit"),
            ("TIME",),
        ],
    )
    limits = Limits.read(text(meta[0] if meta else None))
    most = (number(said or own) or 1) if job.limit_key else 0
    full = {
        "key": bool(most) and number(running) >= most,
        "queue": limits.concurrency is not None and (held or 0) >= limits.concurrency,
        "rate": bool(meta) and _used_up(limits.rate, text(meta[1]), milliseconds(clock)),
    }
    reasons = [name for name, holds in full.items() if holds and job.state == "active"]
    return Room(number(running) if most else 0, most, reasons[0] if reasons else "", limits)


def _used_up(rate: str | None, paid_until: str, now: float) -> bool:
    """Say whether the rate lets no job begin now; see `lua/_room.lua`."""
    match, paid = RATE.fullmatch(rate or ""), NUMBER.fullmatch(paid_until)
    if match is None or paid is None:
        return False
    interval = 1000 * UNITS[match["unit"]] / int(match["jobs"])
    return float(paid_until) <= now < float(paid_until) + interval
