"""The state machine: one method per transition, each one script in `lua/`.

    scheduled -> active -> processing -> succeeded | scheduled (retry) | failed

Here is what users do; it talks to Redis at once. The worker's side of the same machine is
in `settle`, the operators' in `operating`, and schedules are in `scheduling`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar, Unpack

from redis import Redis
from redis.exceptions import RedisError

from django_jobs import keys
from django_jobs.exceptions import Empty, LeaseLost, PushError
from django_jobs.failure import Failure
from django_jobs.job import MAX_ATTEMPTS, Claimed, Job
from django_jobs.line import run, run_many
from django_jobs.operating import Operating
from django_jobs.options import JobOptions, NewJob, new_job
from django_jobs.record import JobRecord, Stats
from django_jobs.scripts import Call
from django_jobs.solo import Solo

T = TypeVar("T")

PUSH_BATCH = 200  # jobs a script, so that none blocks Redis for long
ROUND = 10  # scripts sent together: the client's timeout counts for all that it sends at once
PAGE = 100


def run_in_rounds(client: Redis, calls: Sequence[Call]) -> list[Any]:
    """Send calls that may be very many, in several round trips. Raises RedisError."""
    rounds = (calls[i : i + ROUND] for i in range(0, len(calls), ROUND))
    return [reply for some in rounds for reply in run_many(client, some)]


class Queue(Operating):
    """A queue by its name, on one Redis.

    `lease` is in seconds, `max_payload` in bytes; `announce` gets the name of a new queue.
    """

    def __init__(
        self,
        name: str,
        client: Redis,
        *,
        prefix: str = "jobs",
        cluster: bool = False,
        max_attempts: int = MAX_ATTEMPTS,
        max_payload: int = 1_048_576,
        lease: float = 15.0,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.client = client
        super().__init__(keys.root(prefix, name, cluster=cluster))
        self.max_attempts = max_attempts
        self.max_payload = max_payload
        self.lease = lease
        self._announce = announce
        self._announced = False

    def push(self, payload: Any = None, handler: str = "", **options: Unpack[JobOptions]) -> str:
        """Push one job at once, and return its id; this never waits for a transaction.

        Raises PayloadError, OptionError, and PushError if Redis did not take it. Use
        `push_job` from views and signals: it waits for the commit.
        """
        job = new_job(
            payload,
            handler=handler,
            queue=self.name,
            limit=self.max_payload,
            max_attempts=self.max_attempts,
            options=options,
        )
        self.add([job])
        return job.id

    def add(self, jobs: Sequence[NewJob]) -> list[int]:
        """Push jobs that are ready, in round trips of 2,000.

        Returns, per job, 1 pushed, 0 its id exists, 2 another job of its unique key stands.
        Raises PushError; then some of the jobs may have been pushed, and pushing all of
        them again is safe.
        """
        try:
            self.announce()
            return self.pushed(run_in_rounds(self.client, self.push_calls(jobs)))
        except (RedisError, OSError) as error:
            raise self.push_error(jobs, error) from error

    def push_calls(self, jobs: Sequence[NewJob]) -> list[Call]:
        """Return the calls that push jobs; `pushed` reads the replies."""
        return [
            self._call("push", *(value for job in page for value in job.arguments()))
            for page in (jobs[i : i + PUSH_BATCH] for i in range(0, len(jobs), PUSH_BATCH))
        ]

    def pushed(self, replies: Sequence[list[int]]) -> list[int]:
        """Return, per job, what `add` returns; announce a queue that is new. Raises RedisError."""
        if any(reply[0] for reply in replies):
            self._announced = False
            self.announce()
        return [answer for reply in replies for answer in reply[1:]]

    def push_error(self, jobs: Sequence[NewJob], error: Exception) -> PushError:
        """Return the error that says which jobs could not be pushed."""
        first = jobs[0]
        return PushError(
            f"{len(jobs)} job(s) could not be pushed to queue {self.name!r}, the first"
            f" is {first.id} (handler {first.handler!r}): {error}"
        )

    def forget(self, ids: Sequence[str], milliseconds: int) -> Call:
        """Return the call that lets the tombstones of these pushes end so soon."""
        return self._call("forget", milliseconds, *ids)

    def announce(self) -> None:
        """Enter the queue into the set of all queues, once. Raises RedisError."""
        if not self._announced and self._announce is not None:
            self._announce(self.name)
            self._announced = True

    def pull(self, work: Callable[[Job], T]) -> T:
        """Claim one job, run `work` on it, settle it, and return what `work` returned.

        Raises Empty if nothing is claimable; raises what `work` raised, after the job was
        put behind the others or, its attempts used up, among the failed; raises LeaseLost
        if the job was given to another worker meanwhile. The lease is kept by a thread as
        long as `work` runs: a `work` that holds the GIL for a lease loses it.
        """
        worker = Solo(self.client, [self], self.lease)
        claimed = worker.claim()
        if claimed is None:
            worker.close()
            raise Empty(f"Queue {self.name!r} has no job that could be pulled now.")
        with worker.beating():
            try:
                result = work(claimed.job(self.progress_function(worker.id)))
            except BaseException as error:
                worker.close(self._settle_error(worker.id, claimed, error))
                raise
        proof = (claimed.id, claimed.token)
        if worker.close(self.settle_succeeded(worker.id, [proof])) == [[-1]]:
            raise LeaseLost(
                f"Job {claimed.id} of queue {self.name!r} was given to another worker"
                " while it ran here; it may run twice."
            )
        return result

    def stats(self) -> Stats:
        """Return how many jobs are in each state."""
        return Stats.of(run(self.client, self._call("stats")))

    def failed(self) -> Iterator[JobRecord]:
        """Yield the failed jobs, newest first; never loads them all."""
        redis: Any = self.client
        key, top, skip = f"{self.root}:failed", "+inf", 0
        seen: list[bytes] = []
        while page := redis.zrevrangebyscore(key, top, "-inf", skip, PAGE, withscores=True):
            for id, _ in page:
                if (record := self.job(id.decode("utf-8", "replace"))) is not None:
                    yield record
            last = page[-1][1]
            seen = (seen if float(top) == last else []) + [id for id, at in page if at == last]
            top, skip = repr(last), redis.zmscore(key, seen).count(last)  # without what left since

    def progress_function(self, worker: str) -> Callable[[Job, float, str], None]:
        """Return what `Job.progress` calls for a job that this worker holds.

        Without Redis it is lost: no run should fail for that.
        """

        def progress(job: Job, fraction: float, text: str) -> None:
            said = json.dumps({"fraction": round(float(fraction), 4), "text": str(text)[:200]})
            with suppress(RedisError, OSError):
                run(self.client, self._call("progress", worker, job.id, job.token, said))

        return progress

    def _settle_error(self, worker: str, claimed: Claimed, error: BaseException) -> Call:
        why = Failure.of(error, worker)
        if claimed.attempt >= claimed.max_attempts:
            return self.settle_failed(worker, [(claimed.id, claimed.token, why)])
        return self.settle_retry(worker, [(claimed.id, claimed.token, 0.0, why)])
