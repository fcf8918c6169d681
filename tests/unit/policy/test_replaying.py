"""A candidate's answers beside what was decided: every change has its class, and none is missed."""

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from broker.core.arguments import JsonValue
from broker.core.decision import Effect, HoldTerms, Obligation, Opinion, Verdict
from broker.core.question_schema import EXAMPLE
from broker.core.recorded import RecordedDecision
from broker.policy.replay_tally import ChangeClass, Replay
from broker.policy.replaying import compared, replay

TERMS = HoldTerms(reviewers=("leads",), decide_within_s=60, run_within_s=60)
DENY, HOLD, ALLOW = Effect.DENY, Effect.HOLD, Effect.ALLOW
C = ChangeClass


def said(effect: Effect, code: str = "", **given) -> Verdict:
    wanted = {
        "effect": effect,
        "stage": "policy",
        "code": code or effect.name,
        "message": "So.",
        "family": "refunds",
        "terms": TERMS if effect is HOLD else None,
    }
    return Verdict(**{**wanted, **given})


def recorded(*verdicts: Verdict, **given) -> RecordedDecision:
    wanted = {
        "entry": "e-1",
        "invocation": "invocations/1",
        "at": 1.0,
        "tool": "refund",
        "tool_revision": "sha256:t",
        "policy_revision": "sha256:p",
        "effect": min((v.effect for v in verdicts if v.enforced), default=DENY),
        "verdicts": verdicts,
        "question": EXAMPLE,
    }
    return RecordedDecision(**{**wanted, **given})


def opinion(*verdicts: Verdict, obligations: tuple[Obligation, ...] = ()) -> Opinion:
    return Opinion(verdicts=verdicts, obligations=obligations, policy_revision="sha256:c")


def class_of(before: RecordedDecision, *after: Verdict, **given) -> ChangeClass | None:
    return compared(before, opinion(*after, **given))[2]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (DENY, ALLOW, C.DENY_TO_ALLOW),
        (HOLD, ALLOW, C.HOLD_TO_ALLOW),
        (DENY, HOLD, C.DENY_TO_HOLD),
        (ALLOW, HOLD, C.ALLOW_TO_HOLD),
        (ALLOW, DENY, C.ALLOW_TO_DENY),
        (HOLD, DENY, C.HOLD_TO_DENY),
        (ALLOW, ALLOW, None),
        (HOLD, HOLD, None),
        (DENY, DENY, None),
    ],
)
def test_each_pair_of_effects_has_its_class(before, after, expected):
    assert class_of(recorded(said(before)), said(after)) == expected


def test_the_strictest_verdict_counts_on_both_sides():
    before = recorded(said(ALLOW), said(HOLD))
    assert class_of(before, said(ALLOW), said(DENY)) == C.HOLD_TO_DENY
    assert class_of(before, said(ALLOW), said(HOLD)) is None


def test_what_the_floor_said_stands_whatever_the_candidate_says():
    floor = said(HOLD, "FACT_ABSENT", stage="floor", family="")
    before = recorded(floor, said(ALLOW))
    assert class_of(before, said(ALLOW)) is None
    assert class_of(before, said(DENY)) == C.HOLD_TO_DENY


def test_a_hold_that_was_lifted_is_a_hold_on_both_sides():
    lifted = dataclasses.replace(said(HOLD), effect=ALLOW)
    assert class_of(recorded(lifted, effect=ALLOW), said(HOLD)) is None
    assert class_of(recorded(lifted, effect=ALLOW), said(ALLOW)) == C.HOLD_TO_ALLOW


def test_a_family_that_was_merely_observed_is_compared_by_what_it_said():
    observed = recorded(said(DENY, enforced=False), said(ALLOW), effect=ALLOW)
    assert class_of(observed, said(DENY)) is None
    assert class_of(observed, said(ALLOW)) == C.DENY_TO_ALLOW


def test_a_duty_that_goes_missing_is_a_change():
    withheld = recorded(said(ALLOW), obligations=(Obligation(kind="withhold", family="refunds"),))
    assert class_of(withheld, said(ALLOW)) == C.OTHER_DUTIES
    kept = (Obligation(kind="withhold", family="refunds"),)
    assert class_of(withheld, said(ALLOW), obligations=kept) is None


def test_a_duty_that_nobody_can_discharge_denies():
    wish = (Obligation(kind="sing", family="refunds"),)
    assert class_of(recorded(said(ALLOW)), said(ALLOW), obligations=wish) == C.ALLOW_TO_DENY
    profile = (Obligation(kind="profile", family="code", parameters={"profile": "strict"}),)
    assert class_of(recorded(said(ALLOW)), said(ALLOW), obligations=profile) == C.ALLOW_TO_DENY
    tool: JsonValue = {**EXAMPLE["tool"], "sandbox": {"profile": "compute"}}
    sandboxed = recorded(
        said(ALLOW),
        question={**EXAMPLE, "tool": tool},
        obligations=(Obligation(kind="profile", family="code"),),
    )
    assert class_of(sandboxed, said(ALLOW), obligations=profile) is None


def test_what_nodes_could_not_give_is_no_matter_of_policy():
    away = said(DENY, "PROFILE_UNAVAILABLE", stage="settle", family="")
    assert class_of(recorded(away, said(ALLOW)), said(ALLOW)) is None
    unsupported = said(DENY, "OBLIGATION_UNSUPPORTED", stage="settle")
    assert class_of(recorded(unsupported, said(ALLOW)), said(ALLOW)) == C.DENY_TO_ALLOW


def test_a_hold_that_fewer_may_lift_is_a_change():
    two = dataclasses.replace(TERMS, approvals_required=2)
    assert class_of(recorded(said(HOLD, terms=two)), said(HOLD)) == C.OTHER_TERMS


def test_another_reason_for_the_same_effect_is_a_change_except_of_what_runs():
    assert class_of(recorded(said(DENY, "A")), said(DENY, "B")) == C.OTHER_CODES
    assert class_of(recorded(said(HOLD, "A")), said(HOLD, "B")) == C.OTHER_CODES
    assert class_of(recorded(said(ALLOW, "A")), said(ALLOW, "B")) is None


class Scripted:
    """A candidate that allows all, and remembers how it was asked."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def ask(self, questions: Sequence[Mapping[str, JsonValue]]) -> list[Opinion]:
        self.sizes.append(len(questions))
        return [opinion(said(ALLOW))] * len(questions)


def test_all_are_counted_and_what_cannot_be_asked_again_is_told_apart():
    decisions = [
        *(recorded(said(DENY), invocation=f"invocations/{n}") for n in range(5)),
        recorded(said(HOLD)),
        recorded(said(ALLOW)),
        recorded(said(DENY, stage="screen", family=""), question=None),
        recorded(said(ALLOW), question=None, is_erased=True),
        recorded(said(ALLOW), question={**EXAMPLE, "version": 99}),
    ]
    candidate = Scripted()
    seen: list[int] = []
    found = replay(decisions, candidate, batch_max=3, examples_max=2, progress=seen.append)
    assert sorted(candidate.sizes) == [1, 3, 3]
    assert (found.decisions, found.asked, found.unchanged) == (10, 7, 1)
    assert (found.spared, found.erased, found.other_form) == (1, 1, 1)
    denied = found.changes[C.DENY_TO_ALLOW]
    assert (denied.count, dict(denied.tools)) == (5, {"refund": 5})
    assert [e.invocation for e in denied.examples] == ["invocations/0", "invocations/1"]
    assert list(found.to_json()["changes"]) == ["deny-to-allow", "hold-to-allow"]
    [group] = found.to_json()["changes"]["deny-to-allow"]["groups"]
    assert group == {
        "count": 5,
        "before": {"effect": "DENY", "reasons": ["refunds DENY"]},
        "after": {"effect": "ALLOW", "reasons": ["refunds ALLOW"]},
    }
    assert seen[-1] == 10


def test_of_nothing_comes_nothing():
    assert replay([], Scripted()) == Replay()
