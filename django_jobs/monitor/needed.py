"""Which handlers the jobs need that wait in Redis, or may come again."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from django_jobs.monitor import batches
from django_jobs.monitor.groups import failure_groups
from django_jobs.monitor.reading import ask, text
from django_jobs.queue import Queue
from django_jobs.scanning import PAGE, chunks, job, list_pages, pages

STATES = ("active", "scheduled", "processing", "failed", "following a batch", "by schedule")
FOLLOWING = ("on_complete", "on_success", "on_failure")

Needed = Counter[tuple[str, str]]  # handler, state


def handlers_needed(queue: Queue, look: int) -> tuple[Needed, list[str]]:
    """Count a queue's jobs by handler and state; name the states that have more than `look` jobs.

    No more of them are looked at; failed jobs are counted without that. Raises RedisError.
    """
    found: Needed = Counter()
    for group in failure_groups([queue]):
        found[group.handler, "failed"] += group.count
    for name in _following(queue):
        found[name, "following a batch"] += 1
    more = []
    for state, ids in _places(queue):
        names = _handlers(queue, ids)
        found.update((name, state) for name in islice(names, look))
        more += [state] if next(names, None) is not None else []
    return Counter({need: n for need, n in found.items() if need[0]}), more


def _places(queue: Queue) -> Iterator[tuple[str, Iterable[Iterable[bytes]]]]:
    active = chain[Iterable[bytes]](pages(queue, "priority"), pages(queue, "limited"))
    yield "active", chain(active, list_pages(queue))
    yield "scheduled", pages(queue, "scheduled")
    yield "processing", pages(queue, "processing")
    (others,) = ask(queue, [("ZRANGE", f"{queue.root}:group:other", 0, -1)])
    yield "failed", chunks(others or [], PAGE)


def _handlers(queue: Queue, places: Iterable[Iterable[bytes]]) -> Iterator[str]:
    for ids in places:
        yield from map(text, ask(queue, [("HGET", job(queue, id), "handler") for id in ids]))


def _following(queue: Queue) -> Iterator[str]:
    keys = (f"{queue.root}:batch:{batch.id}" for batch in batches.not_done(queue))
    hashes = [f"{key}:{name}" for key in keys for name in FOLLOWING]
    yield from (
        text(handler) for handler in ask(queue, [("HGET", key, "handler") for key in hashes])
    )
