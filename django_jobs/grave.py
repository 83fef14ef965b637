"""A dead worker: what it held, told apart by its flight table, and where that goes."""

import json
import signal
import time
from collections.abc import Iterator, Sequence

from django_jobs import flight
from django_jobs.claims import pairs
from django_jobs.exceptions import JobTimeout, WorkerLost
from django_jobs.failure import Failure
from django_jobs.flight import Flight, FlightTable
from django_jobs.line import checked
from django_jobs.lines import Lines
from django_jobs.queue import Queue
from django_jobs.scripts import Call

Recovered = tuple[str, list[tuple[str, str]], list[str]]  # queue, jobs (id, worker), states


class Grave:
    """What had ended is settled, what had started is recovered, the rest released."""

    def __init__(self, table: FlightTable, status: int | None, *, released: bool) -> None:
        self.worker = table.worker
        self._flights = table.flights()
        self._why = Failure.of(WorkerLost(f"Its worker died: {cause(status)}."), self.worker)
        self._answered = status is not None and status >= 0 and not self._flights
        self._released = released  # a shutdown cut the runs short: they count no attempt
        self._died = time.monotonic()

    @property
    def holds(self) -> bool:
        """Say whether the worker held any job."""
        return bool(self._flights)

    def bury(self, line: Lines, queues: Sequence[Queue]) -> list[Recovered]:
        """Close the worker, then move its jobs. Raises RedisError; then do it again."""
        held = checked(
            line.run([queue.close(self.worker, answered=self._answered) for queue in queues])
        )
        recovered: list[Recovered] = []
        for queue, last_claim in zip(queues, held, strict=True):
            mine = [job for job in self._flights if job.queue == queue.name]
            unknown = [job for job in pairs(last_claim) if job not in _proofs(mine)]
            calls = self._calls(queue, mine, unknown)
            replies = checked(line.run([call for call, _ in calls])) if calls else []
            for reply, (_, jobs) in zip(replies, calls, strict=True):
                if jobs:
                    recovered.append((queue.name, jobs, [state.decode() for state in reply]))
        return recovered

    def _calls(
        self, queue: Queue, jobs: list[Flight], unknown: list[tuple[str, int]]
    ) -> list[tuple[Call, list[tuple[str, str]]]]:
        calls: list[tuple[Call, list[tuple[str, str]]]] = []
        calls += [(call, []) for call in self._settles(queue, jobs)]
        late, worker = [job for job in jobs if self._timed_out(job)], self.worker
        calls += [(self._settle_late(queue, job), []) for job in late]
        back = (flight.HELD, flight.STARTED) if self._released else (flight.HELD,)
        given = [job for job in jobs if job.state in back and job not in late]
        if given or unknown:
            proofs = [*_proofs(given), *unknown]
            calls.append((queue.release(worker, proofs), []))
        cut = [job for job in jobs if job.state == flight.STARTED and job not in late]
        if cut and not self._released:
            owned = [(job.id, job.token, worker) for job in cut]
            told = [(job.id, worker) for job in cut]
            calls.append((queue.recover(owned, self._why), told))
        return calls

    def _settles(self, queue: Queue, jobs: list[Flight]) -> Iterator[Call]:
        """Yield what records the runs that had ended."""
        ended: dict[int, list[Flight]] = {}
        for job in jobs:
            ended.setdefault(job.state, []).append(job)
        if found := ended.get(flight.SUCCEEDED):
            yield queue.settle_succeeded(self.worker, _proofs(found))
        if found := ended.get(flight.KEPT):
            kept = [(job.id, job.token, job.delay, job.error.decode()) for job in found]
            yield queue.settle_kept(self.worker, kept)
        if found := ended.get(flight.RETRY):
            again = [(job.id, job.token, job.delay, self._read(job)) for job in found]
            yield queue.settle_retry(self.worker, again)
        if found := ended.get(flight.FAILED):
            failed = [(job.id, job.token, self._read(job)) for job in found]
            yield queue.settle_failed(self.worker, failed)

    def _timed_out(self, job: Flight) -> bool:
        return job.state == flight.STARTED and 0 < job.deadline < self._died

    def _settle_late(self, queue: Queue, job: Flight) -> Call:
        why = Failure.of(JobTimeout("It did not end at its timeout and was killed."), self.worker)
        if job.attempt >= job.max_attempts:
            return queue.settle_failed(self.worker, [(job.id, job.token, why)])
        return queue.settle_retry(self.worker, [(job.id, job.token, 1.0, why)])

    def _read(self, job: Flight) -> Failure:
        try:
            error = json.loads(job.error)
        except ValueError:
            error = {}
        return Failure(error.get("exception", "Unknown"), error.get("message", ""), self.worker)


def cause(status: int | None) -> str:
    """Say in words how a process ended."""
    if status is not None and status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exit status {status}"


def _proofs(jobs: Sequence[Flight]) -> list[tuple[str, int]]:
    return [(job.id, job.token) for job in jobs]
