"""The laws of deciding: order is irrelevant, another stage never loosens, lifecycles are total."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from broker.core.decision import Discharge, Effect, HoldTerms, Verdict, settle
from broker.core.errors import IllegalTransition
from broker.core.lifecycle import (
    HOLD,
    INVOCATION,
    HoldState,
    InvocationState,
    step,
    step_hold,
)

terms = st.builds(
    HoldTerms,
    reviewers=st.sampled_from([("a",), ("b",), ("a", "b")]),
    approvals_required=st.integers(1, 3),
    decide_within_s=st.integers(1, 10),
    run_within_s=st.integers(1, 10),
    step_up=st.booleans(),
)
verdicts = st.builds(
    lambda effect, code, hold_terms, enforced: Verdict(
        effect=effect,
        stage="policy",
        code=code,
        message="",
        terms=hold_terms if effect is Effect.HOLD else None,
        enforced=enforced,
    ),
    st.sampled_from(Effect),
    st.sampled_from(["A", "B", "C"]),
    terms,
    st.booleans(),
)
discharges = st.builds(Discharge, code=st.sampled_from(["A", "B", "C"]), terms=terms)


@given(st.lists(verdicts), st.randoms(use_true_random=False), st.lists(discharges))
def test_order_is_irrelevant(given_verdicts, random, discharged):
    shuffled = list(given_verdicts)
    random.shuffle(shuffled)
    one, other = (settle(v, discharged=discharged) for v in (given_verdicts, shuffled))
    assert one.effect is other.effect
    assert sorted(map(repr, one.verdicts)) == sorted(map(repr, other.verdicts))


@given(st.lists(verdicts, min_size=1), verdicts, st.lists(discharges))
def test_another_stage_never_loosens(given_verdicts, another, discharged):
    before = settle(given_verdicts, discharged=discharged).effect
    assert settle([*given_verdicts, another], discharged=discharged).effect <= before


@given(st.lists(verdicts), st.lists(discharges))
def test_an_approval_never_turns_a_deny(given_verdicts, discharged):
    denied = settle(given_verdicts).effect is Effect.DENY
    assert denied == (settle(given_verdicts, discharged=discharged).effect is Effect.DENY)


@given(st.lists(verdicts), st.lists(discharges))
def test_an_approval_lifts_nothing_that_was_not_shown(given_verdicts, discharged):
    lifted = {(d.code, d.terms) for d in discharged}
    left = settle(given_verdicts, discharged=discharged).holds
    unshown = [
        v
        for v in given_verdicts
        if v.effect is Effect.HOLD and v.enforced and (v.code, v.terms) not in lifted
    ]
    assert sorted(map(repr, left)) == sorted(map(repr, unshown))


def test_every_step_of_an_invocation_is_in_the_table_or_raises():
    for before, after in itertools.product(InvocationState, repeat=2):
        if after in INVOCATION[before]:
            assert step(before, after) is after
        else:
            _assert_illegal(step, before, after)


def test_every_step_of_a_hold_is_in_the_table_or_raises():
    for before, after in itertools.product(HoldState, repeat=2):
        if after in HOLD[before]:
            assert step_hold(before, after) is after
        else:
            _assert_illegal(step_hold, before, after)


def test_nothing_leaves_a_terminal_state():
    ended = {s for s in InvocationState if not INVOCATION[s]}
    assert ended == {
        InvocationState(s)
        for s in ("DENIED", "REJECTED", "EXPIRED", "CANCELLED", "SUCCEEDED", "FAILED")
    }


def _assert_illegal(function, before, after):
    try:
        function(before, after)
    except IllegalTransition:
        return
    raise AssertionError((before, after))
