"""`policy explain` says what the policy was asked, of a call, a case or an input alike."""

import dataclasses
import json
from datetime import UTC

import pytest
from rich.text import Text

from broker.cli.explain_picture import explanation_picture
from broker.cli.screen import Around
from broker.core.decision import Effect, HoldTerms, Verdict
from broker.core.explanation import (
    Alternative,
    Band,
    Change,
    Condition,
    Explanation,
    Place,
    Removal,
    Scale,
    Spoken,
)
from broker.core.explanation_reading import read_explanation
from broker.core.explanation_words import whereto
from broker.core.passing import Passed
from broker.core.question_schema import EXAMPLE
from broker.policy.cases.patches import merge_patch
from broker.v1 import admin_pb2, types_pb2

FILE = "broker/rules/refunds/refunds.rego"
AMOUNT = "/call/arguments/amount_minor"


def told(explanation, **more) -> str:
    lines = explanation_picture(explanation, Around(now=0.0, zone=UTC), **more)
    assert all(isinstance(line, Text) for line in lines)
    return "\n".join(line.plain for line in lines)


def verdict(effect: Effect, code: str) -> Verdict:
    return Verdict(effect=effect, stage="policy", code=code, message="Large.", family="refunds")


def condition(values: str, *, source: str = "a <= b", held: bool = False) -> Condition:
    return Condition(place=Place(file=FILE, line=48), source=source, values=values, held=held)


def explained(**changes) -> Explanation:
    spoken = Spoken(
        verdict=verdict(Effect.HOLD, "LARGE"),
        place=Place(file=FILE, line=30),
        conditions=changes.pop("conditions", (condition("5001 <= 5000"),)),
    )
    given = {"policy_revision": "sha256:0", "effect": Effect.HOLD, "spoken": (spoken,), **changes}
    return Explanation(**given)


def alternative(*changes: Change, effect: Effect = Effect.ALLOW) -> Alternative:
    return Alternative(changes=changes, effect=effect)


def test_a_verdict_is_shown_with_its_line_and_its_values():
    assert "refunds  HOLD  LARGE  refunds.rego:48  5001 <= 5000 is false" in told(explained())


@pytest.mark.parametrize(
    ("values", "source", "held", "shown"),
    [
        ("4000 <= 6000", "a <= b", True, "4000 <= 6000"),
        ('"EUR" == "EUR"', "refund.currency == order.currency", True, 'order.currency, "EUR"'),
        ("false == false", "tool.destructive == false", True, "tool.destructive == false"),
        ("true == false", "tool.destructive == false", False, "tool.destructive == false is false"),
        ("true", "input.open", True, "input.open"),
        ("false", "input.open", False, "input.open is false"),
        ("x := input.y (undefined)", "x := input.y", False, "x := input.y (undefined)"),
    ],
)
def test_a_condition_reads_as_a_sentence(values, source, held, shown):
    picture = told(explained(conditions=(condition(values, source=source, held=held),)))
    assert picture.splitlines()[0].endswith(shown)


def test_what_would_be_allowed_is_said_with_its_limits_and_the_approval():
    way = alternative(Change(pointer=AMOUNT, value=5000, highest=5000))
    picture = told(explained(allowed_if=(way,)))
    assert picture.endswith("ALLOW if /amount_minor were at most 5000, or with that approval.")


def test_several_changes_at_once_and_several_ways_are_told_apart():
    both = alternative(
        Change(pointer=AMOUNT, value=1, lowest=1, highest=9),
        Change(pointer="/usage/refunds/used", value=1, lowest=1),
    )
    other = alternative(Change(pointer="/principal/groups/-", value="staff"))
    picture = told(explained(allowed_if=(both, other)))
    assert (
        "ALLOW if /amount_minor were from 1 to 9 and usage.refunds.used were at least 1; "
        'or if principal#/groups also had "staff", or with that approval.'
    ) in " ".join(picture.split())


def test_where_nothing_was_found_nothing_else_is_said():
    assert told(explained()).endswith(
        "Nothing was found that would make it ALLOW but that approval."
    )
    denied = explained(effect=Effect.DENY)
    assert told(denied).endswith("Nothing was found that would make it ALLOW.")


def test_a_scale_tells_each_border_once():
    bands = (
        Band(effect=Effect.ALLOW, lowest=None, highest=5000),
        Band(effect=Effect.HOLD, lowest=5001, highest=6000),
        Band(effect=Effect.DENY, lowest=6001, highest=None),
    )
    picture = told(explained(scales=(Scale(pointer=AMOUNT, value=5001, bands=bands),)))
    wanted = "/amount_minor is 5001: ALLOW up to 5000, HOLD from 5001 to 6000, DENY from 6001 on."
    assert wanted in picture


def test_an_amount_is_told_as_money_wherever_it_stands():
    bands = (
        Band(effect=Effect.HOLD, lowest=None, highest=6000),
        Band(effect=Effect.DENY, lowest=6001, highest=None),
    )
    both = (Change(pointer=AMOUNT, value=1, lowest=1, highest=5000),)
    picture = told(
        explained(
            money={AMOUNT: "EUR"},
            scales=(Scale(pointer=AMOUNT, value=5500, bands=bands),),
            allowed_if=(alternative(*both),),
        )
    )
    assert "/amount_minor is EUR 55.00: HOLD up to EUR 60.00, DENY from EUR 60.01 on." in picture
    assert "ALLOW if /amount_minor were from EUR 0.01 to EUR 50.00, or with that" in picture


def test_stages_that_let_it_go_on_come_first_and_who_may_lift_it_last():
    terms = HoldTerms(
        reviewers=("leads",), approvals_required=2, decide_within_s=14_400, run_within_s=60
    )
    held = dataclasses.replace(verdict(Effect.HOLD, "LARGE"), terms=terms)
    stages = (Passed(stage="screen", told="all fits"), Passed(stage="floor", told="1 of 5 a day"))
    lines = told(explained(passed=stages), others=(held,)).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["screen", "ALLOW", "all", "fits"],
        ["floor", "ALLOW", "1", "of", "5", "a", "day"],
    ]
    assert lines[3].split() == ["settled", "HOLD", "2", "of", "leads,", "within", "4", "h"]


def test_each_of_several_reasons_is_told_what_rids_of_it():
    removals = (
        Removal(family="refunds", code="LARGE", alternative=None),
        Removal(
            family="refunds",
            code="LATE",
            alternative=alternative(
                Change(pointer="/time/weekday", value="(any other)", otherwise=True),
                effect=Effect.HOLD,
            ),
        ),
    )
    picture = told(explained(removals=removals))
    assert "Nothing was found that would rid of LARGE." in picture
    assert "No LATE if time.weekday were another: then HOLD." in picture


def test_what_was_decided_before_policy_comes_first():
    floor = Verdict(effect=Effect.DENY, stage="floor", code="SCOPE_NOT_BOUND", message="No.")
    picture = told(explained(), others=(floor, verdict(Effect.HOLD, "LARGE")))
    assert picture.splitlines()[0].split() == ["floor", "DENY", "SCOPE_NOT_BOUND", "No."]
    assert picture.count("LARGE") == 1


def test_what_a_stranger_wrote_cannot_act_on_a_terminal():
    hostile = "\x1b[2J\u202e"
    way = alternative(Change(pointer=f"/call/arguments/{hostile}", value=hostile))
    picture = told(explained(allowed_if=(way,), problem=hostile))
    assert "\x1b" not in picture
    assert "\u202e" not in picture


@pytest.mark.parametrize(
    ("pointer", "shown"),
    [
        (AMOUNT, "/amount_minor"),
        ("/call/arguments/a~1b/0", "/a~1b/0"),
        ("/facts/order/value/status", "order#/status"),
        ("/facts/order/error", "facts.order.error"),
        ("/session/labels/0", "session#/labels/0"),
        ("/time/weekday", "time.weekday"),
    ],
)
def test_a_place_is_named_as_in_a_manifest(pointer, shown):
    assert whereto(pointer) == shown


def test_a_case_is_explained_by_the_beginning_of_its_name(run):
    run("policy", "new", "rule", "payments", "policies")
    ran = run("policy", "explain", "--case", "payments/one cent more", "policies")
    assert (ran.code, ran.err) == (0, "")
    assert "payments: one cent more waits for a person" in ran.out
    assert "5001 <= 5000 is false" in ran.out
    assert "ALLOW if /amount_minor were at most 5000, or with that approval." in ran.out


def test_a_case_that_is_not_there_is_told_with_those_that_are(run):
    ran = run("policy", "explain", "--case", "behaviour/nothing of the kind")
    assert ran.code == 2
    assert "There is no such case." in ran.err
    assert "behaviour/a read of a closed world runs" in ran.err


def test_words_without_a_family_are_answered_with_the_cases_that_have_them(run):
    run("policy", "new", "rule", "payments", "policies")
    ran = run("policy", "explain", "--case", "one CENT", "policies")
    assert ran.code == 2
    first, *listed = ran.err.splitlines()
    assert first.endswith("These are like it:")
    assert "  payments/one cent more waits for a person" in listed
    assert all("one cent" in line for line in listed)


def test_of_many_cases_that_may_be_meant_twenty_are_listed(run):
    *_, listed, more = run("policy", "explain", "--case", "a").err.splitlines()
    assert "/" in listed
    assert more.startswith("  and ")
    assert len(run("policy", "explain", "--case", "a").err.splitlines()) == 22


def test_words_that_no_case_has_are_answered_with_the_families_alone(run):
    ran = run("policy", "explain", "--case", "zebra")
    assert ran.code == 2
    assert "  behaviour" in ran.err.splitlines()
    assert not any("/" in line for line in ran.err.splitlines()[1:])


def test_an_input_is_explained_from_a_file(run, here):
    question = merge_patch(EXAMPLE, {"tool": {"behaviour": {"read_only": True}}})
    (here / "input.json").write_text(json.dumps(question), "utf-8")
    ran = run("policy", "explain", "--input", "input.json", "--json")
    assert (ran.code, ran.err) == (0, "")
    document = json.loads(ran.out)
    assert document["recorded"] is None
    assert {"policy_revision", "effect", "spoken", "allowed_if"} <= document.keys()


@pytest.mark.parametrize("text", ["[]", "{", '{"call": 1}'])
def test_a_file_that_is_no_input_is_refused(run, here, text):
    (here / "input.json").write_text(text, "utf-8")
    assert run("policy", "explain", "--input", "input.json").code == 2


@pytest.mark.parametrize("arguments", [[], ["--case", "a/b", "--input", "x.json"]])
def test_one_thing_is_explained_at_a_time(run, arguments):
    ran = run("policy", "explain", *arguments)
    assert ran.code == 2
    assert "Say what to explain" in ran.err


def test_a_past_call_is_explained_by_the_broker_where_no_directory_is_given(run, services):
    way = alternative(Change(pointer=AMOUNT, value=5000, highest=5000))
    name = "invocations/01890a5d-ac96-774b-bcce-b302099a8057"
    services.answers["ExplainInvocation"] = admin_pb2.ExplainInvocationResponse(
        decision=admin_pb2.RecordedDecision(
            invocation=name,
            policy_revision="sha256:0",
            effect=types_pb2.EFFECT_HOLD,
            summary="Refund EUR 55.00",
        ),
        explanation_json=json.dumps(explained(allowed_if=(way,)).to_json()).encode(),
    )
    ran = run("policy", "explain", name)
    assert (ran.code, ran.err) == (0, "")
    assert services.request("ExplainInvocation").name == name
    assert ran.out.splitlines()[0].startswith("Refund EUR 55.00")
    assert "by this policy." in ran.out
    assert "ALLOW if /amount_minor were at most 5000, or with that approval." in ran.out


def test_an_explanation_of_another_release_is_not_half_believed(run, services):
    services.answers["ExplainInvocation"] = admin_pb2.ExplainInvocationResponse(
        explanation_json=b'{"effect": "PERHAPS"}'
    )
    ran = run("policy", "explain", "invocations/01890a5d-ac96-774b-bcce-b302099a8057")
    assert (ran.code, ran.out) == (1, "")


def test_an_explanation_is_read_as_it_was_written():
    spoken = Spoken(verdict=verdict(Effect.DENY, "LATE"))
    written = explained(
        spoken=(*explained().spoken, spoken),
        silent=("hours",),
        removals=(Removal(family="refunds", code="LATE", alternative=None),),
        scales=(
            Scale(
                pointer=AMOUNT,
                value=1,
                bands=(Band(effect=Effect.ALLOW, lowest=None, highest=None),),
            ),
        ),
        allowed_if=(alternative(Change(pointer=AMOUNT, value=5000, highest=5000)),),
        problem="It took too long.",
    )
    assert read_explanation(json.loads(json.dumps(written.to_json()))) == written
