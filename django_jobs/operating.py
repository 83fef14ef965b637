"""How a job stands, and what operators do to it, and to the whole queue: one method per script."""

from typing import Any

from django_jobs.exceptions import UniqueHeld
from django_jobs.failure import Failure
from django_jobs.job import encode_payload
from django_jobs.limits import Limits
from django_jobs.line import run
from django_jobs.record import JobRecord
from django_jobs.scheduling import Scheduling


class Operating(Scheduling):
    """The operators' side of the state machine. From another state nothing changes: False."""

    max_payload: int

    def job(self, id: str) -> JobRecord | None:
        """Return a job as it stands now; None if it succeeded or was removed.

        The id of a push that found another job of its unique key leads to that one.
        """
        fields, worker, due, real = run(self.client, self._call("job", id))
        found = dict(zip(fields[::2], fields[1::2], strict=True))
        if not found or found.get(b"state") == b"cancelled":
            return None
        return JobRecord.from_hash(
            real.decode("utf-8", "replace"),
            self.name,
            found,
            worker=worker.decode("utf-8", "replace"),
            due=float(due) if due else None,
            look=self.job,
        )

    def retry(self, id: str) -> bool:
        """Move a job from failed to active; its attempts begin anew.

        Raises UniqueHeld if another job of its unique key waits or runs.
        """
        return self._revive("retry", id, 0)

    def edit(self, id: str, payload: Any) -> bool:
        """Give a failed job another payload, and move it to active; what it had is kept.

        Raises PayloadError and PayloadTooLarge as push does, and UniqueHeld as retry.
        """
        record = self.job(id)
        if record is None:
            return False
        text = encode_payload(
            payload, handler=record.handler, queue=self.name, limit=self.max_payload
        )
        return self._revive("edit", id, record.payload, text)

    def fail(self, id: str, reason: str) -> bool:
        """Move a job from active or scheduled to failed: stop retrying."""
        failure = Failure("Stopped", reason, "operator")
        return self._did("fail", id, failure.exception, failure.error)

    def discard(self, id: str) -> bool:
        """Delete a failed job."""
        return self._did("discard", id)

    def cancel(self, id: str) -> bool:
        """Delete an active or scheduled job, so that it never runs."""
        return self._did("cancel", id)

    def stop(self, id: str) -> bool:
        """Ask the worker that runs a job to stop it; it is not tried again.

        Within a beat (3 s) `job.cancelled` says so to the handler; 5 s later JobStopped is
        raised in it, and when that does not end it, its process is killed.
        """
        return self._did("stop", id)

    def empty(self, limit: int = 1000) -> tuple[int, int]:
        """Delete up to `limit` active jobs, those first that would be claimed next.

        Returns how many were deleted, and how many ids were looked at (0: it is empty).
        """
        deleted, seen = run(self.client, self._call("empty", min(limit, 1000)))
        return int(deleted), int(seen)

    def order(self, worker: str, what: str) -> bool:
        """Tell a worker's supervisor to go `quiet` or to `stop`; it hears it at its next beat."""
        return self._did("order", worker, what)

    def limit(self, limits: Limits) -> bool:
        """Limit this queue, over all workers, whatever the settings say; no limits are none."""
        return self._did("limit", str(limits))

    def limit_as_set(self) -> bool:
        """Take `limit` back: what the settings say counts again."""
        return self._did("limit", "settings")

    def limits(self) -> Limits:
        """Return the limits in force."""
        redis: Any = self.client
        found = redis.hget(f"{self.root}:meta", "limits") or b""
        return Limits.read(found.decode("utf-8", "replace"))

    def pause(self) -> bool:
        """Let workers claim nothing more from this queue; what runs goes on."""
        return self._did("pause")

    def resume(self) -> bool:
        """Let workers claim from this queue again."""
        return self._did("resume")

    def promote(self, limit: int = 1000) -> int:
        """Move what is due from scheduled to active; claim does the same by itself."""
        return int(run(self.client, self._call("promote", limit)))

    def _revive(self, script: str, id: str, *args: str | bytes | int) -> bool:
        answer = run(self.client, self._call(script, id, *args))
        if isinstance(answer, bytes):
            raise UniqueHeld(
                f"Job {id} of queue {self.name!r} stays among the failed: job {answer.decode()}"
                " of the same unique key waits or runs. Cancel that one first, or discard this."
            )
        return bool(answer == 1)
