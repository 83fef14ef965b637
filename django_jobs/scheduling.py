"""A queue's schedules: one method per script."""

from collections.abc import Iterable

from redis import Redis

from django_jobs.job import new_id
from django_jobs.line import run
from django_jobs.schedule import Due, Schedule, ScheduleRecord, read_schedules
from django_jobs.scripts import Call
from django_jobs.settle import WorkerSide


class Scheduling(WorkerSide):
    """Whoever starts workers defines schedules, workers fire them, operators do the rest."""

    name: str
    client: Redis

    def define(self, project: str, age: float, schedules: Iterable[Schedule]) -> Call:
        """Make this queue's schedules of a project what code says that began `age` seconds ago.

        What was defined by code that began later stays.
        """
        args = (value for schedule in schedules for value in schedule.arguments())
        return self._call("define", project, round(age * 1000), *args)

    def fire(self, due: Due, now: int) -> Call:
        """Push the job of a schedule that is due, and set when it is due next.

        Raises ValueError if this machine cannot tell when that is.
        """
        return self._call("fire", *due.arguments(now, new_id()))

    def schedules(self) -> list[ScheduleRecord]:
        """Return the schedules of this queue, by when they are due."""
        return self._read()

    def schedule(self, name: str) -> ScheduleRecord | None:
        """Return a schedule as it stands now; None if there is none of this name."""
        found = self._read(name)
        return found[0] if found else None

    def run_schedule(self, name: str) -> str | None:
        """Push one job of a schedule at once, and return its id; None if there is no such one.

        When it is due next does not change. Where another job of its unique key stands, the
        id leads to that one.
        """
        id = new_id()
        return id if self._did("run_schedule", name, id) else None

    def pause_schedule(self, name: str) -> bool:
        """Let a schedule push nothing more by itself."""
        return self._did("pause_schedule", name)

    def resume_schedule(self, name: str) -> bool:
        """Let a schedule go on from now on; what would have been meanwhile is not made up for."""
        return self._did("resume_schedule", name)

    def remove_schedule(self, name: str) -> bool:
        """Delete a schedule; one that workers' code still declares is back within a minute."""
        return self._did("remove_schedule", name)

    def _read(self, *names: str) -> list[ScheduleRecord]:
        return read_schedules(self.name, run(self.client, self._call("schedules", *names)))

    def _did(self, script: str, *args: str | bytes | int) -> bool:
        return bool(run(self.client, self._call(script, *args)) == 1)
