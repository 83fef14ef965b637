"""The words for whole queues and for workers: pause, resume, quiet, stop."""

from argparse import Namespace

from django.core.management.base import CommandError

from django_jobs.monitor.workers import WorkerRow, all_workers
from django_jobs.operators.choosing import queues_of
from django_jobs.operators.terminal import Terminal
from django_jobs.operators.wording import count, plain
from django_jobs.queue import Queue

FOLLOWS = {
    "quiet": "Workers claim nothing more from their next beat on; what runs goes on.",
    "stop": "Workers end as at SIGTERM from their next beat on: what runs is waited for.",
}


def pause(terminal: Terminal, options: Namespace) -> None:
    """Let workers claim nothing more from some queues."""
    changed = {queue.name: queue.pause() for queue in _queues(options)}
    lines = [
        f"{name} is paused: workers claim nothing more from it, what runs goes on."
        if now
        else f"{name} was paused already."
        for name, now in changed.items()
    ]
    terminal.answer({"paused": list(changed)}, "\n".join(lines))


def resume(terminal: Terminal, options: Namespace) -> None:
    """Let workers claim from some queues again."""
    changed = {queue.name: queue.resume() for queue in _queues(options)}
    lines = [
        f"{name} goes on." if now else f"{name} was not paused." for name, now in changed.items()
    ]
    terminal.answer({"resumed": list(changed)}, "\n".join(lines))


def quiet(terminal: Terminal, options: Namespace) -> None:
    """Tell workers to claim nothing more."""
    _tell(terminal, options, "quiet")


def stop(terminal: Terminal, options: Namespace) -> None:
    """Tell workers to end, as SIGTERM does."""
    _tell(terminal, options, "stop")


def _queues(options: Namespace) -> list[Queue]:
    if bool(options.names) == options.all:
        raise CommandError("Say which queues by their names, or --all of them.")
    return queues_of(options.names)


def _tell(terminal: Terminal, options: Namespace, what: str) -> None:
    """Tell the supervisors of some workers; each does it with all its workers."""
    if bool(options.workers) == options.all:
        raise CommandError("Say which workers, as `jobs workers` shows them, or --all of them.")
    queues = queues_of(None)
    alive = [row for row in all_workers(queues) if row.silent <= 0]
    chosen = alive if options.all else [w for name in options.workers for w in _find(name, alive)]
    teams: dict[tuple[str, int], list[WorkerRow]] = {}
    for row in chosen:
        for queue in queues:
            if queue.name in row.queues and queue.order(row.id, what):
                teams[row.host, row.supervisor] = [
                    one for one in alive if (one.host, one.supervisor) == (row.host, row.supervisor)
                ]
    lines = [
        f"The supervisor {plain(host)}:{pid} is told to {_verb(what)}:"
        f" {count(len(team), 'worker')}, {count(sum(row.busy for row in team), 'job')} under way."
        for (host, pid), team in teams.items()
    ]
    value = {"told": what, "workers": [row.id for team in teams.values() for row in team]}
    terminal.answer(value, "\n".join([*lines, FOLLOWS[what]] if lines else ["No worker runs."]))


def _verb(what: str) -> str:
    return "go quiet" if what == "quiet" else what


def _find(name: str, alive: list[WorkerRow]) -> list[WorkerRow]:
    """Return the workers that a name means: an id, or host:pid of a worker or a supervisor."""
    found = [
        row
        for row in alive
        if name in (row.id, f"{row.host}:{row.pid}", f"{row.host}:{row.supervisor}")
    ]
    if not found:
        raise CommandError(
            f"No worker that is alive is called {name!r}. `jobs workers` shows their names."
        )
    return found
