"""The words that change jobs, one or many: retry, discard, cancel, interrupt."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.core.management.base import CommandError
from redis.exceptions import RedisError

from django_jobs.bulk import Bulk, of_failed
from django_jobs.connection import get_queue
from django_jobs.line import run, run_many
from django_jobs.monitor.counts import all_stats
from django_jobs.operators.choosing import (
    WAITING,
    described,
    failed_sources,
    locate,
    queues_of,
    waiting_ids,
)
from django_jobs.operators.terminal import Progress, Terminal
from django_jobs.operators.wording import count, plain, sentence, span
from django_jobs.queue import Queue
from django_jobs.scanning import chunks
from django_jobs.scripts import Call, get_script

Steps = Iterator[tuple[int, int]]  # how many jobs were moved so far, and how many were looked at
DONE = {
    "retry": "retried",
    "discard": "discarded",
    "cancel": "cancelled",
    "interrupt": "interrupted",
}
FROM = {
    "retry": ("failed",),
    "discard": ("failed",),
    "cancel": WAITING,
    "interrupt": ("processing",),
}
INSTEAD = {
    "failed": "`jobs discard` deletes it.",
    "active": "`jobs cancel` deletes it.",
    "scheduled": "`jobs cancel` deletes it.",
    "processing": "`jobs interrupt` stops it.",
    "succeeded": "It is deleted by itself.",
}
FILTERS = ("handler", "error", "since", "older_than", "state")
STEP = 200  # jobs; half a millisecond of Redis each at the most


def retry(terminal: Terminal, options: Namespace) -> None:
    """Move failed jobs back to their queues."""
    _move(terminal, options, "retry")


def discard(terminal: Terminal, options: Namespace) -> None:
    """Delete failed jobs."""
    _move(terminal, options, "discard")


def cancel(terminal: Terminal, options: Namespace) -> None:
    """Delete jobs that wait."""
    _move(terminal, options, "cancel")


def interrupt(terminal: Terminal, options: Namespace) -> None:
    """Stop jobs that run; their workers hear it at the next beat."""
    _move_named(terminal, options, "interrupt", queues_of(options.queue))


def _move(terminal: Terminal, options: Namespace, action: str) -> None:
    queues = queues_of(options.queue)
    given = vars(options)
    filters = [name for name in FILTERS if given.get(name) is not None]
    if options.ids:
        if filters or options.all:
            raise CommandError("Say ids or filters, not both. With ids only --queue is of use.")
        _move_named(terminal, options, action, queues)
    elif not filters and not options.queue and not options.all:
        raise CommandError("Say which jobs: their ids, filters such as --handler, or --all.")
    elif action == "cancel":
        _cancel_many(terminal, options, queues)
    else:
        sources = failed_sources(terminal, queues, options)
        bulk = of_failed(action, sources, spread=given.get("spread") or 0.0)
        what = described(bulk.total, "failed job", options)
        _move_many(terminal, options, action, what, bulk.total, _steps_of(bulk))


def _cancel_many(terminal: Terminal, options: Namespace, queues: list[Queue]) -> None:
    states = (options.state,) if options.state else WAITING
    expected = sum(
        getattr(stats, state) for stats in all_stats(queues).values() for state in states
    )
    found: dict[Queue, dict[bytes, None]] = {queue: {} for queue in queues}  # each id once
    with Progress(terminal.err, expected, "looked at") as progress:
        for queue, ids, seen in waiting_ids(queues, states, options.handler):
            found[queue].update(dict.fromkeys(ids))
            progress.at(seen)
    total = sum(map(len, found.values()))
    what = described(total, f"{' or '.join(states)} job", options)
    _move_many(terminal, options, "cancel", what, total, _cancel_steps(found))


def _move_many(
    terminal: Terminal, options: Namespace, action: str, what: str, total: int, steps: Steps
) -> None:
    if options.dry_run:
        terminal.answer({"found": total}, sentence(f"{what} would be {DONE[action]}"))
    elif not total:
        terminal.answer({DONE[action]: 0, "left_alone": 0}, f"There are {what} to {action}.")
    else:
        terminal.confirm(f"{action.capitalize()} {what}", yes=options.yes)
        _do(terminal, options, action, total, steps)


def _move_named(
    terminal: Terminal, options: Namespace, action: str, queues: Sequence[Queue]
) -> None:
    """Move the jobs that are named by their ids; say of each that cannot be moved why."""
    found, problems = list[tuple[Queue, str]](), list[str]()
    for given in dict.fromkeys(options.ids):
        try:
            queue, id = locate(given, queues)
            _check_state(queue, id, action)
            found.append((queue, id))
        except CommandError as error:
            problems.append(str(error))
    if options.dry_run:
        text = sentence(f"{count(len(found), 'job')} would be {DONE[action]}")
        terminal.answer({"found": len(found)}, text)
    elif found or terminal.as_json:
        delay = 1000 * (vars(options).get("spread") or 0.0) / max(len(found), 1)
        steps = _named_steps(action, found, delay)
        _do(terminal, options, action, len(found), steps)
    if problems:
        raise CommandError("\n".join(problems))


def _check_state(queue: Queue, id: str, action: str) -> None:
    job = queue.job(id)
    if job is not None and job.state not in FROM[action]:
        raise CommandError(
            f"Job {plain(id)} of queue {queue.name} is {plain(job.state)}:"
            f" only {' or '.join(FROM[action])} jobs can be {DONE[action]}."
            f" {INSTEAD.get(job.state, '')}".rstrip()
        )


def _do(terminal: Terminal, options: Namespace, action: str, total: int, steps: Steps) -> None:
    """Take the steps, and say what came of it."""
    verb, moved = DONE[action], 0
    try:
        with Progress(terminal.err, total, verb) as progress:
            for step in steps:
                moved, seen = step
                progress.at(seen)
    except (KeyboardInterrupt, RedisError, OSError) as error:
        stopped = isinstance(error, KeyboardInterrupt)
        why = "you stopped it" if stopped else f"Redis did not answer: {error}"
        raise CommandError(
            f"At least {moved:,} of {count(total, 'job')} {verb}, then {why}."
            " The same command goes on with the others.",
            returncode=130 if stopped else 1,
        ) from error
    left, spread = total - moved, vars(options).get("spread")
    said = f"{count(moved, 'job')} {verb}{f', spread over {span(spread)}' if spread else ''}"
    if left:
        was = "was" if left == 1 else "were"
        said += f", {left:,} had already moved on and {was} left alone"
    terminal.answer({verb: moved, "left_alone": left}, sentence(said))


def _steps_of(bulk: Bulk) -> Steps:
    while not bulk.over:
        bulk.step(get_queue)
        yield bulk.done, bulk.done + bulk.skipped


def _cancel_steps(found: Mapping[Queue, Iterable[bytes]]) -> Steps:
    moved = seen = 0
    for queue, ids in found.items():
        for some in chunks(ids, STEP):
            calls = [Call(get_script("cancel"), queue.keys, (id,)) for id in some]
            moved += run_many(queue.client, calls).count(1)
            seen += len(some)
            yield moved, seen


def _named_steps(action: str, found: Sequence[tuple[Queue, str]], delay: float) -> Steps:
    moved = 0
    for place, (queue, id) in enumerate(found):
        more = (round(delay * place),) if action == "retry" else ()
        script = get_script("stop" if action == "interrupt" else action)
        moved += run(queue.client, Call(script, queue.keys, (id, *more))) == 1
        yield moved, place + 1
