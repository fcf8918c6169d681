"""Whatever is not exactly the agreed answer, from the agreed bundle, is one DENY."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.decision import Effect, HoldTerms, Obligation
from broker.policy.opinion import opinion_of

REVISION = "sha256:1"
ALLOW = {"effect": "ALLOW", "code": "FINE", "message": "Fine.", "family": "sample"}
TERMS = {
    "reviewers": ["leads"],
    "approvals_required": 2,
    "decide_within_s": 60,
    "run_within_s": 30,
    "step_up": True,
}
HOLD = {"effect": "HOLD", "code": "WAIT", "message": "Wait.", "family": "sample", "hold": TERMS}
DUTY = {"kind": "redact", "family": "sample", "pointers": ["/mail"]}


def answer(*verdicts, obligations=(), revision=REVISION):
    return {
        "result": {
            "revision": revision,
            "verdicts": list(verdicts),
            "obligations": list(obligations),
        }
    }


def code_of(body):
    opinion = opinion_of(body, revision=REVISION)
    (verdict,) = opinion.verdicts
    assert verdict.effect is Effect.DENY
    assert opinion.policy_revision == REVISION
    assert opinion.obligations == ()
    return verdict.code


def test_a_whole_answer_is_read():
    opinion = opinion_of(answer(ALLOW, HOLD, obligations=[DUTY]), revision=REVISION)
    allow, hold = opinion.verdicts
    assert (allow.effect, allow.code, allow.family, allow.terms) == (
        Effect.ALLOW,
        "FINE",
        "sample",
        None,
    )
    assert hold.terms == HoldTerms(
        reviewers=("leads",),
        approvals_required=2,
        decide_within_s=60,
        run_within_s=30,
        step_up=True,
    )
    assert opinion.obligations == (
        Obligation(kind="redact", family="sample", parameters={"pointers": ["/mail"]}),
    )


def test_an_undefined_answer_denies():
    assert code_of({}) == "POLICY_UNDEFINED"


def test_no_verdict_denies():
    assert code_of(answer()) == "POLICY_UNDEFINED"


@pytest.mark.parametrize("revision", ["sha256:2", "", None, 1])
def test_another_revision_denies(revision):
    assert code_of(answer(ALLOW, revision=revision)) == "POLICY_WRONG_REVISION"


@pytest.mark.parametrize("body", [None, True, 1, "ALLOW", [], [answer(ALLOW)]])
def test_a_body_of_another_type_denies(body):
    assert code_of(body) == "POLICY_MALFORMED"


@pytest.mark.parametrize("result", [None, True, 1, "ALLOW", [], {}, {"effect": "ALLOW"}])
def test_a_result_of_another_type_denies(result):
    assert code_of({"result": result}) == "POLICY_MALFORMED"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("result", "verdicts"), {}),
        (("result", "verdicts"), "ALLOW"),
        (("result", "obligations"), None),
        (("result", "more"), 1),
        (("result", "verdicts", 0), "ALLOW"),
        (("result", "verdicts", 0, "effect"), "allow"),
        (("result", "verdicts", 0, "effect"), True),
        (("result", "verdicts", 0, "effect"), "OBSERVE"),
        (("result", "verdicts", 0, "code"), 1),
        (("result", "verdicts", 0, "code"), ""),
        (("result", "verdicts", 0, "code"), "fine"),
        (("result", "verdicts", 0, "code"), "FINE\n"),
        (("result", "verdicts", 0, "message"), None),
        (("result", "verdicts", 0, "family"), 1),
        (("result", "verdicts", 0, "enforced"), False),
        (("result", "verdicts", 0, "hold"), TERMS),
        (("result", "verdicts", 1, "hold"), {}),
        (("result", "verdicts", 1, "hold", "reviewers"), []),
        (("result", "verdicts", 1, "hold", "reviewers"), "leads"),
        (("result", "verdicts", 1, "hold", "reviewers"), [1]),
        (("result", "verdicts", 1, "hold", "approvals_required"), 0),
        (("result", "verdicts", 1, "hold", "approvals_required"), True),
        (("result", "verdicts", 1, "hold", "approvals_required"), 2**31),
        (("result", "verdicts", 1, "hold", "decide_within_s"), 10**400),
        (("result", "verdicts", 1, "hold", "approvals_required"), 1.5),
        (("result", "verdicts", 1, "hold", "decide_within_s"), -1),
        (("result", "verdicts", 1, "hold", "run_within_s"), "3600"),
        (("result", "verdicts", 1, "hold", "step_up"), 0),
        (("result", "verdicts", 1, "hold", "waived"), True),
        (("result", "obligations", 0), "redact"),
        (("result", "obligations", 0, "kind"), None),
    ],
)
def test_one_odd_part_spoils_the_whole_answer(path, value):
    body = copy.deepcopy(answer(ALLOW, HOLD, obligations=[DUTY]))
    *above, last = path
    part = body
    for step in above:
        part = part[step]
    part[last] = value
    assert code_of(body) == "POLICY_MALFORMED"


@pytest.mark.parametrize("part", ["effect", "code", "message", "family"])
def test_a_verdict_that_lacks_a_part_spoils_the_whole_answer(part):
    lacking = {name: value for name, value in ALLOW.items() if name != part}
    assert code_of(answer(ALLOW, lacking)) == "POLICY_MALFORMED"


def test_a_flood_of_verdicts_denies():
    assert code_of(answer(*[ALLOW] * 1_001)) == "POLICY_MALFORMED"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_no_stray_json_is_an_allow(body):
    assert code_of(body) in {"POLICY_MALFORMED", "POLICY_UNDEFINED"}
    assert code_of({"result": body}) == "POLICY_MALFORMED"
