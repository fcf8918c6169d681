"""A scope covers a call only where every holder says so of every value."""

import pytest

from broker.core.known import Known
from broker.core.scopes import EffectiveScope, Scope, covers, effective, same
from tests.fakes.desk import ARGUMENTS, order_fact, session

KNOWN = Known(arguments={**ARGUMENTS, "to": ["a", "b"]}, session=session(), facts=order_fact())


PLAIN = (Scope(name="s"),)


def covered(*, principal=PLAIN, agent=PLAIN, also=PLAIN):
    held = effective(principal=principal, agent=agent, session=also)["s"]
    return covers(held, KNOWN.values_of)


EUR = Scope(name="s", where={"/currency": ("EUR",)})
USD = Scope(name="s", where={"/currency": ("USD",)})


def test_unbound_scopes_cover_everything():
    assert covered()


def test_each_holder_narrows_for_itself():
    assert covered(principal=(EUR,))
    for holder in ("principal", "agent", "also"):
        assert not covered(**{holder: (USD,)})


def test_two_grants_are_alternatives_of_one_holder_and_do_not_mix():
    small = Scope(name="s", where={"/currency": ("USD",), "/order_id": ("O-1001",)})
    other = Scope(name="s", where={"/currency": ("EUR",), "/order_id": ("O-2",)})
    assert covered(agent=(USD, EUR))
    assert not covered(agent=(small, other))


def test_every_element_of_an_array_must_be_named():
    assert covered(agent=(Scope(name="s", where={"/to": ("a", "b", "c")}),))
    assert not covered(agent=(Scope(name="s", where={"/to": ("a",)}),))


def test_an_empty_list_of_good_values_covers_nothing():
    assert not covered(agent=(Scope(name="s", where={"/currency": ()}),))


def test_a_scope_that_nobody_holds_covers_nothing():
    assert not covers(EffectiveScope(name="s", alternatives={}), KNOWN.values_of)
    assert not covers(EffectiveScope(name="s", alternatives={"agent": ()}), KNOWN.values_of)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, None, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1], [1, 1], False),
        (float("nan"), float("nan"), False),
        ("é", "e\u0301", False),
    ],
)
def test_values_are_the_same_as_json_and_in_no_other_way(left, right, equal):
    assert same(left, right) is equal
