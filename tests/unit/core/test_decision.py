"""What `settle` and `make_plan` are for, case by case; the laws are in tests/properties."""

import pytest

from broker.core.decision import Discharge, Effect, HoldTerms, Obligation, Verdict, settle
from broker.core.plan import Refuse, Run, Suspend, make_plan

TERMS = HoldTerms(reviewers=("leads",), decide_within_s=60, run_within_s=60)
OTHER_TERMS = HoldTerms(
    reviewers=("leads",), approvals_required=2, decide_within_s=60, run_within_s=60
)


def verdict(effect: Effect, code: str = "CODE", **given) -> Verdict:
    terms = TERMS if effect is Effect.HOLD else None
    return Verdict(
        effect=effect, stage="policy", code=code, message="A sentence.", **{"terms": terms, **given}
    )


ALLOW, HOLD, DENY = (verdict(e, e.name) for e in (Effect.ALLOW, Effect.HOLD, Effect.DENY))


@pytest.mark.parametrize(
    ("verdicts", "effect"),
    [
        ([], Effect.DENY),
        ([ALLOW], Effect.ALLOW),
        ([ALLOW, HOLD], Effect.HOLD),
        ([HOLD, ALLOW, DENY], Effect.DENY),
        ([HOLD], Effect.HOLD),
    ],
)
def test_the_strictest_verdict_wins(verdicts, effect):
    assert settle(verdicts).effect is effect


def test_an_observed_verdict_is_recorded_and_counts_as_allow():
    decision = settle([ALLOW, verdict(Effect.DENY, "WATCHED", enforced=False)])
    assert decision.effect is Effect.ALLOW
    assert "WATCHED" in {v.code for v in decision.verdicts}
    assert "WATCHED" not in {v.code for v in decision.reasons}


def test_an_approval_lifts_the_code_and_terms_that_were_shown():
    assert settle([HOLD], discharged=[Discharge(code="HOLD", terms=TERMS)]).effect is Effect.ALLOW


def test_an_approval_does_not_lift_the_same_code_under_stricter_terms():
    stricter = verdict(Effect.HOLD, "HOLD", terms=OTHER_TERMS)
    decision = settle([stricter], discharged=[Discharge(code="HOLD", terms=TERMS)])
    assert decision.effect is Effect.HOLD


def test_an_approval_does_not_lift_a_new_code():
    decision = settle(
        [HOLD, verdict(Effect.HOLD, "NEW")], discharged=[Discharge(code="HOLD", terms=TERMS)]
    )
    assert [v.code for v in decision.holds] == ["NEW"]


def test_an_approval_never_lifts_a_deny():
    assert settle([DENY], discharged=[Discharge(code="DENY", terms=TERMS)]).effect is Effect.DENY


def test_plans_follow_effects():
    assert isinstance(make_plan(settle([DENY])), Refuse)
    assert isinstance(make_plan(settle([ALLOW])), Run)
    suspended = make_plan(settle([HOLD, verdict(Effect.HOLD, "SECOND")]))
    assert isinstance(suspended, Suspend)
    assert [r.code for r in suspended.requirements] == ["HOLD", "SECOND"]


def test_a_hold_that_says_for_whom_nowhere_refuses():
    endless = Verdict(effect=Effect.HOLD, stage="floor", code="WAIT", message="Wait.")
    for verdicts in ([endless], [HOLD, endless]):
        plan = make_plan(settle(verdicts))
        assert isinstance(plan, Refuse)
        assert plan.decision.reasons[0].code == "HOLD_WITHOUT_TERMS"


@pytest.mark.parametrize(
    "obligation",
    [
        Obligation(kind="profile", parameters={"name": "strict"}),
        Obligation(kind="redact"),
        Obligation(kind="redact", parameters={"pointers": []}),
        Obligation(kind="redact", parameters={"pointers": ["no-slash"]}),
        Obligation(kind="redact", parameters={"pointers": ["/a"], "except": ["/b"]}),
        Obligation(kind="withhold", parameters={"unless": "x"}),
        Obligation(kind="scan"),
        Obligation(kind="scan", parameters={"for": [], "then": "redact"}),
        Obligation(kind="scan", parameters={"for": "links", "then": "redact"}),
        Obligation(kind="scan", parameters={"for": ["links", "riddles"], "then": "redact"}),
        Obligation(kind="scan", parameters={"for": [["links"]], "then": "redact"}),
        Obligation(kind="scan", parameters={"for": ["links"], "then": "allow"}),
        Obligation(kind="scan", parameters={"for": ["links"], "then": ["redact"]}),
        Obligation(kind="scan", parameters={"for": ["links"]}),
        Obligation(kind="scan", parameters={"for": ["links"], "then": "redact", "unless": "x"}),
        Obligation(kind=""),
    ],
)
def test_a_duty_that_nobody_can_discharge_refuses(obligation):
    plan = make_plan(settle([ALLOW], obligations=[obligation]))
    assert isinstance(plan, Refuse)
    assert plan.decision.reasons[0].code == "OBLIGATION_UNSUPPORTED"


@pytest.mark.parametrize(
    "known",
    [
        Obligation(kind="redact", parameters={"pointers": ["/card"]}),
        Obligation(kind="scan", parameters={"for": ["links", "cards"], "then": "redact"}),
        Obligation(kind="scan", parameters={"for": ["secrets"], "then": "withhold"}),
    ],
)
def test_a_duty_that_the_broker_knows_goes_with_the_run(known):
    plan = make_plan(settle([ALLOW], obligations=[known]))
    assert isinstance(plan, Run)
    assert plan.obligations == (known,)
