"""The protocol keeps its promises in every state; without any one of its rules it does not."""

import pytest

from tests.protocol import RULES, Protocol, explore


def test_every_state_keeps_the_promises_and_has_a_way_out() -> None:
    found = explore(Protocol())
    assert not found.promise, "\n".join([found.promise, *found.way])
    assert found.states > 100_000, "it is not the whole any more"


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_promise_is_broken(rule: str) -> None:
    found = explore(Protocol(without=rule))
    assert found.promise, "the rule is of no use, or the model too small"
    print(found.promise, *found.way, sep="\n")
