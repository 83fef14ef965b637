"""Outcomes on their way to Redis, and what is said once they are recorded."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django_jobs.exceptions import PayloadError
from django_jobs.job import Claimed, Job
from django_jobs.metrics import Metrics
from django_jobs.outcome import Outcome
from django_jobs.queue import Queue
from django_jobs.scripts import Call
from django_jobs.signals import job_failed, job_recovered, job_retried, job_succeeded

log = logging.getLogger("django_jobs")

Apply = Callable[[Any], None]


class Settling:
    """Keeps outcomes until Redis has answered for them, however long that takes."""

    def __init__(self, settled: Callable[[Claimed], None]) -> None:
        self.metrics = Metrics()
        self._outcomes: dict[Claimed, Outcome] = {}
        self._settled = settled

    def __len__(self) -> int:
        """Return how many runs have ended and are not settled."""
        return len(self._outcomes)

    def __contains__(self, claimed: Claimed) -> bool:
        """Say whether a run has ended and is not settled."""
        return claimed in self._outcomes

    def add(self, claimed: Claimed, outcome: Outcome) -> None:
        """Keep an outcome for the next round trip."""
        self._outcomes[claimed] = outcome

    def clear(self) -> None:
        """Drop all outcomes: their claims are another worker's."""
        for claimed in self._outcomes:
            self._settled(claimed)
        self._outcomes.clear()

    def calls(self, queues: Mapping[str, Queue], worker: str) -> list[tuple[Call, Apply]]:
        """Return one call per queue of these and kind of outcome, with what takes its answer.

        What was counted of earlier runs goes along, once a second.
        """
        groups: dict[tuple[str, str], list[Claimed]] = {}
        for claimed, outcome in self._outcomes.items():
            if claimed.queue in queues:
                groups.setdefault((claimed.queue, outcome.kind), []).append(claimed)
        settles = [
            (self._call(queues[queue], kind, worker, jobs), partial(self._answered, kind, jobs))
            for (queue, kind), jobs in groups.items()
        ]
        return settles + [(call, lambda _: None) for call in self.metrics.calls(queues)]

    def _answered(self, kind: str, jobs: Sequence[Claimed], answers: Sequence[int]) -> None:
        """Forget outcomes that were answered; count, and tell of, those that were applied."""
        applied = [claimed for claimed, answer in zip(jobs, answers, strict=True) if answer == 1]
        self.metrics.add(jobs[0].queue, kind, applied)
        silent = kind in ("succeeded", "kept") and not job_succeeded.receivers
        for claimed, answer in zip(jobs, answers, strict=True):
            outcome = self._outcomes.pop(claimed, None)
            self._settled(claimed)
            if answer == 1 and outcome is not None:
                if not silent:
                    tell(claimed, outcome)
                if claimed.ended is not None:
                    claimed.ended(claimed, outcome)
            elif answer == -1:
                log.warning(
                    "Job %s of queue %s was given to another worker; its outcome is dropped.",
                    claimed.id,
                    claimed.queue,
                    extra=_extra(claimed),
                )

    def _call(self, queue: Queue, kind: str, worker: str, jobs: list[Claimed]) -> Call:
        if kind == "succeeded":
            return queue.settle_succeeded(worker, [(job.id, job.token) for job in jobs])
        if kind == "kept":
            kept = ((job, self._outcomes[job]) for job in jobs)
            return queue.settle_kept(worker, [(j.id, j.token, o.delay, o.result) for j, o in kept])
        if kind in ("released", "unknown"):
            proofs = [(job.id, job.token) for job in jobs]
            return queue.release(worker, proofs, unknown=kind == "unknown")
        if kind == "snoozed":
            return queue.settle_snoozed(
                worker, [(job.id, job.token, self._outcomes[job].delay) for job in jobs]
            )
        failures = [(job, self._outcomes[job]) for job in jobs]
        whys = [
            (job, outcome.delay, replace(outcome.failure, worker=worker))
            for job, outcome in failures
            if outcome.failure is not None
        ]
        if kind == "retry":
            return queue.settle_retry(
                worker, [(job.id, job.token, delay, why) for job, delay, why in whys]
            )
        return queue.settle_failed(worker, [(job.id, job.token, why) for job, _, why in whys])


def tell(claimed: Claimed, outcome: Outcome) -> None:
    """Log a failure in one line, and send the outcome's signal."""
    if outcome.kind in ("succeeded", "kept"):
        if job_succeeded.receivers:
            job_succeeded.send_robust(claimed.handler, job=_job(claimed))
    elif outcome.kind == "retry":
        log.warning(
            "Job %s (%s) failed in attempt %d of %d, again in %.1f s: %s",
            *(claimed.id, claimed.handler, claimed.attempt, claimed.max_attempts),
            *(outcome.delay, outcome.failure),
            extra=_extra(claimed),
        )
        if job_retried.receivers:
            job_retried.send_robust(
                claimed.handler, job=_job(claimed), error=outcome.error, delay=outcome.delay
            )
    elif outcome.kind == "failed":
        log.error(
            "Job %s (%s) failed for good in attempt %d of %d: %s",
            *(claimed.id, claimed.handler, claimed.attempt, claimed.max_attempts),
            outcome.failure,
            extra=_extra(claimed),
        )
        if job_failed.receivers:
            job_failed.send_robust(claimed.handler, job=_job(claimed), error=outcome.error)


def tell_recovered(queue: str, jobs: Sequence[tuple[str, str]], states: Sequence[str]) -> None:
    """Log each job (id, worker) that was taken back from a dead worker, and send `job_recovered`."""
    for (id, worker), state in zip(jobs, states, strict=True):
        if state:
            log.warning("Job %s of queue %s: its worker died, now %s.", id, queue, state)
            job_recovered.send_robust(queue, id=id, queue=queue, worker=worker, state=state)


def _job(claimed: Claimed) -> Job:
    try:
        return claimed.job()
    except PayloadError:
        return claimed.job_with(claimed.raw.decode("utf-8", "replace"))


def _extra(claimed: Claimed) -> dict[str, Any]:
    return {
        "job": claimed.id,
        "queue": claimed.queue,
        "handler": claimed.handler,
        "attempt": claimed.attempt,
    }
