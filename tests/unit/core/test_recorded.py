"""A decision is read back from its entry as it was, or refused, with what was said in it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.decision import Discharge, Effect, HoldTerms, Verdict, settle
from broker.core.recorded import MalformedRecord, is_decision, recorded_decision, spoken
from tests.exported_decisions import NOW, decided, name_of, refund

_TERMS = st.builds(
    HoldTerms,
    reviewers=st.lists(st.text(max_size=5), min_size=1, max_size=2).map(tuple),
    approvals_required=st.integers(1, 5),
    decide_within_s=st.integers(1, 100),
    run_within_s=st.integers(1, 100),
    step_up=st.booleans(),
)
_HOLDS = st.builds(
    Verdict,
    effect=st.just(Effect.HOLD),
    stage=st.sampled_from(["floor", "policy"]),
    code=st.sampled_from(["A", "B"]),
    message=st.text(max_size=5),
    family=st.text(max_size=5),
    terms=_TERMS,
    enforced=st.booleans(),
)
_OTHERS = st.builds(
    Verdict,
    effect=st.sampled_from([Effect.DENY, Effect.ALLOW]),
    stage=st.sampled_from(["screen", "policy"]),
    code=st.sampled_from(["C", "D"]),
    message=st.text(max_size=5),
    enforced=st.booleans(),
)
_VERDICTS = st.lists(_HOLDS | _OTHERS, max_size=4)


@given(verdicts=_VERDICTS)
def test_every_verdict_is_read_back_as_it_was(verdicts):
    entry, contents = decided(7, verdicts, question=refund(1))
    found = recorded_decision(entry, contents)
    assert found.verdicts == tuple(verdicts)
    assert (found.invocation, found.at, found.question) == (name_of(7), NOW + 7, refund(1))


@given(verdicts=_VERDICTS)
def test_neither_an_approval_nor_observing_changes_what_was_said(verdicts):
    lifted = [Discharge(code=v.code, terms=v.terms) for v in verdicts if v.terms is not None]
    settled = settle(verdicts, discharged=lifted)
    plain = settle(spoken(verdicts))
    assert settle(spoken(settled.verdicts)).effect == plain.effect
    assert plain.effect <= settled.effect


def test_without_contents_nobody_knows_the_question():
    entry, contents = decided(1, [], question=refund(1))
    assert recorded_decision(entry, None).is_erased
    assert recorded_decision(entry, None).question is None
    assert not recorded_decision(entry, contents).is_erased
    entry, contents = decided(1, [], question=None)
    spared = recorded_decision(entry, contents)
    assert (spared.question, spared.is_erased) == (None, False)


DENIED = Verdict(effect=Effect.DENY, stage="policy", code="NO", message="No.")
HELD = Verdict(
    effect=Effect.HOLD,
    stage="policy",
    code="HOLD",
    message="Wait.",
    terms=HoldTerms(reviewers=("leads",), decide_within_s=1, run_within_s=1),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["kind"], "call.ended"),
        (["id"], 1),
        (["invocation"], None),
        (["at_us"], "now"),
        (["body"], []),
        (["body", "tool"], None),
        (["body", "effect"], "MAYBE"),
        (["body", "verdicts"], {}),
        (["body", "verdicts"], ["DENY"]),
        (["body", "verdicts", 0, "effect"], "MAYBE"),
        (["body", "verdicts", 0, "enforced"], "no"),
        (["body", "verdicts", 0, "stage"], None),
        (["body", "verdicts", 1, "hold"], {}),
        (["body", "verdicts", 1, "hold", "reviewers"], "leads"),
        (["body", "verdicts", 1, "hold", "approvals_required"], True),
        (["body", "verdicts", 1, "hold", "step_up"], 1),
        (["body", "obligations"], None),
    ],
)
def test_an_entry_that_no_broker_wrote_is_refused(path, value):
    entry, contents = decided(1, [DENIED, HELD], question=refund(1))
    changed: Any = copy.deepcopy(entry)
    target = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(MalformedRecord):
        recorded_decision(changed, contents)


def test_a_question_that_is_no_object_is_refused():
    entry, _ = decided(1, [DENIED], question=refund(1))
    with pytest.raises(MalformedRecord):
        recorded_decision(entry, {"question": "none"})


def test_only_decisions_are_decisions():
    entry, _ = decided(1, [], question=None)
    assert is_decision(entry)
    assert not is_decision({**entry, "kind": "call.ended"})
    assert not is_decision({})
