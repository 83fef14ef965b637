"""Kills a process at every line of what pushes, relays or runs, and says what is wrong then.

For a process of its own, in which Django is set up: it forks.
"""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import connections, transaction
from django.db.backends.base import base

import django_jobs
from django_jobs import Job, get_queue, handler, push_job, push_jobs
from django_jobs.handlers import get_handler
from django_jobs.job import new_id
from django_jobs.middleware import wrapped
from django_jobs.options import NewJob
from django_jobs.outbox import rows
from django_jobs.outbox.models import OutboxJob
from django_jobs.outbox.relay import Relay, relay_all
from tests.testapp.models import Note

PACKAGE = str(Path(django_jobs.__file__).parent)
DJANGO = (transaction.__file__, base.__file__)
QUEUES = ("default", "email")
FIRST = 2  # number that is killed

Line = tuple[str, int]
Step = Callable[[int], object]


@handler("kills.atomic", atomic=True)
def atomic(job: Job) -> None:
    """Write down that it ran, and push another job."""
    note(job.payload)


def note(number: int) -> None:
    """Write a note, and push a job that belongs to it."""
    Note.objects.create(text=str(number))
    push_job("test.quick", number)


def one_push(number: int) -> None:
    """Push in a transaction."""
    with transaction.atomic():
        note(number)


def many_pushes(number: int) -> None:
    """Push to two queues, some in savepoints, one of which is rolled back."""
    with transaction.atomic():
        note(number)
        with transaction.atomic():
            push_job("test.quick", -1)
            transaction.set_rollback(True)
        with transaction.atomic():
            push_jobs("test.quick", [number], queue="email")


def rolled_back(number: int) -> None:
    """Push in a transaction that is rolled back."""
    with transaction.atomic():
        note(number)
        transaction.set_rollback(True)


def left_over(number: int) -> None:
    """Commit, and push nothing, for a relay to be killed at it."""
    with transaction.atomic():
        Note.objects.create(text=str(number))
        rows.save("default", "default", [NewJob(new_id(), "test.quick", str(number))])


def relay(number: int) -> None:
    """Relay what there is."""
    Relay("default").relay()


def run_atomic(number: int) -> None:
    """Run an atomic handler."""
    job = Job(f"{number:032x}", "default", "kills.atomic", number)
    wrapped(get_handler("kills.atomic"), ())(job)


SCENARIOS: dict[str, tuple[Step, Step, Step]] = {  # before, killed, again
    "one push": (lambda n: None, one_push, lambda n: None),
    "many pushes": (lambda n: None, many_pushes, lambda n: None),
    "rolled back": (lambda n: None, rolled_back, lambda n: None),
    "relay": (left_over, relay, lambda n: None),
    "atomic": (lambda n: None, run_atomic, run_atomic),
}


def traced(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith(PACKAGE) or name in DJANGO


def watch(step: Step, number: int, visit: Callable[[Line], object]) -> None:
    """Run a step, and call `visit` before each line of ours and of Django's transactions."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not traced(frame):
            return None
        if event == "line":
            visit((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        step(number)
    finally:
        sys.settrace(None)


def in_child(work: Callable[[], object]) -> int:
    """Run it in a child; return its wait status."""
    connections.close_all()
    if pid := os.fork():
        return os.waitpid(pid, 0)[1]
    work()
    os._exit(0)


def lines_of(step: Step, number: int) -> list[Line]:
    """Return the lines of a step, each once, in the order in which they are come to."""
    path = Path(os.environ["TMPDIR"]) / "lines"

    def work() -> None:
        seen: dict[Line, None] = {}
        watch(step, number, lambda line: seen.setdefault(line))
        path.write_text(json.dumps(list(seen)))

    assert in_child(work) == 0
    return [(file, line) for file, line in json.loads(path.read_text())]


def kill_at(line: Line) -> Callable[[Line], None]:
    """Return what kills this process at a line."""

    def visit(here: Line) -> None:
        if here == line:
            os.kill(os.getpid(), signal.SIGKILL)

    return visit


def run_all(ran: Counter[tuple[str, int]]) -> None:
    """Run what is in Redis."""
    for name in QUEUES:
        while get_queue(name).stats().active:
            ran[get_queue(name).pull(lambda job: (job.queue, job.payload))] += 1


def scenario(name: str) -> tuple[list[str], list[str]]:
    """Kill a step at each of its lines; return the lines, and what is wrong afterwards."""
    before, step, again = SCENARIOS[name]
    for warm_up in (before, step):  # what only a first time does is not done in each child
        warm_up(0)
    before(1)
    lines = lines_of(step, 1)
    ran: Counter[tuple[str, int]] = Counter()
    killed = 0
    for number, line in enumerate(lines, FIRST):
        before(number)
        killed += in_child(partial(watch, step, number, kill_at(line))) == signal.SIGKILL
        if number % 2:
            run_all(ran)
        again(number)
    relay_all()
    run_all(ran)
    wrong = [f"{killed} of {len(lines)} were killed"] if killed < 0.9 * len(lines) else []
    return list(map(str, lines)), [*wrong, *account(name, ran, lines)]


def account(name: str, ran: Counter[tuple[str, int]], lines: list[Line]) -> Iterator[str]:
    """Compare what ran with what was committed."""
    notes = Counter(int(text) for text in Note.objects.values_list("text", flat=True))
    queues = QUEUES if name == "many pushes" else QUEUES[:1]
    wanted = {(queue, number): 1 for queue in queues for number in notes}
    for queue, number in {*ran, *wanted}:
        if (times := ran[queue, number]) != wanted.get((queue, number), 0):
            line = lines[number - FIRST] if number >= FIRST else "no line"
            yield f"The job of {number} ran {times} times in {queue}, killed at {line}"
    yield from (f"{number} was done {times} times" for number, times in notes.items() if times > 1)
    if name == "atomic":
        yield from (f"{n} was not done" for n in range(len(lines) + FIRST) if n not in notes)
    if OutboxJob.objects.exists():
        yield "rows are left"


def main(name: str) -> None:
    """Print, as JSON, the lines that were killed, and what is wrong."""
    Note.objects.all().delete()
    OutboxJob.objects.all().delete()
    print(json.dumps(scenario(name)))
