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
    """Claim from one queue after the other what there is still room for."""
    worker, number, lease, slots, ahead = call.args
    room, look, left = [int(slots), int(ahead)], -1, 0
    states: list[bytes] = []
    rows: list[Any] = []
    now = 0
    for i, keys in enumerate(_keys(call), 1):
        if not any(room) and states:
            states.append(b"ok")
            left = 1  # nobody looked
            continue
        reply = ask(Call(call.script, keys, (worker, number, lease, *room)))
        if isinstance(reply, Exception):
            return reply
        now, its_look, its_left, its_states, *its_rows = reply
        look = (
            min(found for found in (look, its_look) if found >= 0)
            if max(look, its_look) >= 0
            else -1
        )
        left = 1 if 1 in (left, its_left) else max(left, its_left)
        states += its_states
        rows += [[i, *row[1:]] for row in its_rows]
        room = _less(room, len(its_rows))
    return [now, look, left, states, *rows]


def _keys(call: Call) -> list[Sequence[str]]:
    return [call.keys[i : i + 2] for i in range(0, len(call.keys), 2)]


def _renumber(told: bytes, number: int) -> bytes:
    words = told.split(b" ", 2)
    return b"job %d %s" % (number, words[2]) if words[0] == b"job" else told


def _less(room: Sequence[int], taken: int) -> list[int]:
    """Free slots are filled first."""
    slots, ahead = room
    return [max(0, slots - taken), ahead - max(0, taken - slots)]
