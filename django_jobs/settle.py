"""The worker's side of the state machine: calls, which a worker sends in batches.

processing -> succeeded | active | scheduled | failed
"""

from collections.abc import Iterable, Mapping

from django_jobs.claims import Held
from django_jobs.failure import Failure
from django_jobs.scripts import Call, get_script


class WorkerSide:
    """One method per transition of jobs that a worker holds, or held.

    Settling answers, per job, 1 applied, 0 already done, -1 another's.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.keys = (root, f"{root}:queue")

    def settle_succeeded(self, worker: str, jobs: Iterable[tuple[str, int]]) -> Call:
        """Record that jobs (id, token) succeeded: processing -> gone."""
        return self._call("settle_succeeded", worker, *(value for job in jobs for value in job))

    def settle_kept(self, worker: str, jobs: Iterable[tuple[str, int, float, str]]) -> Call:
        """Record that jobs (id, token, seconds to keep it, result) succeeded; they stay that long."""
        args: list[str | int] = []
        for id, token, ttl, result in jobs:
            args += [id, token, round(ttl * 1000), result]
        return self._call("settle_kept", worker, *args)

    def settle_retry(self, worker: str, jobs: Iterable[tuple[str, int, float, Failure]]) -> Call:
        """Record failed attempts (id, token, delay in s, why): processing -> active | scheduled."""
        args: list[str | int] = []
        for id, token, delay, why in jobs:
            args += [id, token, round(delay * 1000), why.error, why.traceback]
        return self._call("settle_retry", worker, *args)

    def settle_snoozed(self, worker: str, jobs: Iterable[tuple[str, int, float]]) -> Call:
        """Put jobs (id, token, delay in s) off, the attempt not counted."""
        args = (value for id, token, delay in jobs for value in (id, token, round(delay * 1000)))
        return self._call("settle_snoozed", worker, *args)

    def settle_failed(self, worker: str, jobs: Iterable[tuple[str, int, Failure]]) -> Call:
        """Record last attempts (id, token, why): processing -> failed."""
        args: list[str | int] = []
        for id, token, why in jobs:
            args += [id, token, why.exception, why.error, why.traceback]
        return self._call("settle_failed", worker, *args)

    def release(
        self, worker: str, jobs: Iterable[tuple[str, int]], *, unknown: bool = False
    ) -> Call:
        """Give jobs (id, token; oldest first) back unfinished, the attempt not counted.

        They go to the head of the queue; with `unknown` (no such handler here) they are
        scheduled 1 to 30 s ahead, the longer the longer it is unknown.
        """
        why = "unknown" if unknown else ""
        return self._call("release", worker, why, *(value for job in jobs for value in job))

    def recover(self, jobs: Iterable[Held], why: Failure) -> Call:
        """Take jobs (id, token, worker; oldest first) back from dead workers, counted.

        The answer says per job where it is now: active, scheduled, failed, or nowhere else.
        """
        args = (value for job in jobs for value in job)
        return self._call("recover", why.exception, why.error, *args)

    def held(self, worker: str, number: int, known: Iterable[tuple[str, int]]) -> Call:
        """Ask what a worker holds, after a claim whose answer was lost; see `read_held`."""
        return self._call("held", worker, number, *(value for job in known for value in job))

    def close(self, worker: str, *, answered: bool = False) -> Call:
        """End a worker's life; the answer names what it still holds of its last claim.

        With `answered` no claim of it can be under way, and nothing is remembered.
        """
        return self._call("close", worker, int(answered))

    def count(self, numbers: Mapping[str, int]) -> Call:
        """Add what runs a worker has settled, and how they went, to its minute and its hour."""
        return self._call("count", *(value for pair in numbers.items() for value in pair))

    def configure(self, age: float, limits: str, handler: str = "") -> Call:
        """Say what the settings of a `runjobs` say, which has been running for `age` seconds.

        `handler` is that of what other programs push, and how many attempts it has.
        """
        return self._call("configure", round(age * 1000), limits, handler)

    def _call(self, script: str, *args: str | bytes | int) -> Call:
        return Call(get_script(script), self.keys, args)
