"""Calls that concern several queues, made queue by queue where each is on a Redis of its own."""

from collections.abc import Callable, Sequence
from typing import Any

from django_jobs.scripts import Call


def split(call: Call) -> list[Call]:
    """Return the calls, one per queue, that together do the same."""
    if call.script.name != "sweep":
        return [Call(call.script, keys, call.args) for keys in _keys(call)]
    worker, grace, *own = call.args  # what is said of each queue follows
    return [
        Call(call.script, keys, (worker, grace, *own[2 * i : 2 * i + 2]))
        for i, keys in enumerate(_keys(call))
    ]


def join(call: Call, replies: Sequence[Any]) -> Any:
    """Return what one Redis would have answered; the first error if there is one."""
    for reply in replies:
        if isinstance(reply, Exception):
            return reply
    if call.script.name == "report":
        return [_renumber(told, i) for i, reply in enumerate(replies, 1) for told in reply]
    return [item for reply in replies for item in reply]


def claim_in_turn(call: Call, ask: Callable[[Call], Any]) -> Any:
    """Claim from one queue after the other what there is still room for; one may be away."""
    worker, number, lease, slots, ahead = call.args
    now, looks, left, room = 0, [], {0}, [int(slots), int(ahead)]
    states: list[bytes] = []
    due: list[Any] = []
    jobs: list[Any] = []
    for i, keys in enumerate(_keys(call), 1):
        if states and not any(room):
            states.append(b"ok")
            left.add(1)  # who knows
            continue
        reply = ask(Call(call.script, keys, (worker, number, lease, *room)))
        if isinstance(reply, Exception):
            states.append(b"away")
            continue
        now, look, some_left, its_states, its_due, *its_jobs = reply
        looks += [look] if look >= 0 else []
        left.add(some_left)
        states += its_states
        due += [[i, *row[1:]] for row in its_due]
        jobs += [[i, *row[1:]] for row in its_jobs]
        room = _less(room, len(its_jobs))
    most = 1 if 1 in left else max(left)
    return [now, min(looks, default=-1), most, states, due, *jobs]


def _keys(call: Call) -> list[Sequence[str]]:
    return [call.keys[i : i + 2] for i in range(0, len(call.keys), 2)]


def _renumber(told: bytes, number: int) -> bytes:
    words = told.split(b" ", 2)
    return b"job %d %s" % (number, words[2]) if words[0] == b"job" else told


def _less(room: Sequence[int], taken: int) -> list[int]:
    """Free slots are filled first."""
    slots, ahead = room
    return [max(0, slots - taken), ahead - max(0, taken - slots)]
