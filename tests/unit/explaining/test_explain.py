"""What an explanation says is what the policy answers; what was not asked is not claimed."""

import dataclasses
import json

import pytest

from broker.core.decision import Effect
from broker.core.explanation import Band, Change
from broker.core.question_schema import EXAMPLE
from broker.policy.cases.patches import merge_patch
from broker.policy.explaining.asking import asking
from broker.policy.explaining.explain import explain
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa

REFUNDS = """
import data.lib.shop

verdicts contains verdict if {
	input.call.tool == "refund"
	some verdict in _verdicts
}

_verdicts contains {"effect": "ALLOW", "code": "COVERED", "message": "Covered."} if _covered

_verdicts contains {"effect": "DENY", "code": "NOT_COVERED", "message": "No."} if not _covered

_verdicts contains {"effect": "HOLD", "code": "LARGE", "message": "Large."} if not _small

_verdicts contains {"effect": "HOLD", "code": "STRANGERS", "message": "Who?"} if not _known

_covered if {
	refund := input.call.arguments
	order := input.facts.order.value
	refund.currency == order.currency
	refund.amount_minor <= order.captured_minor - order.refunded_minor
}

_small if {
	input.call.arguments.amount_minor <= data.parameters.refunds.most
	input.usage.refunds.used < 2
}

_known if {
	some person in input.facts.people.value
	shop.same(person.name, input.principal.id)
}
"""
LIBRARY = "package lib.shop\n\nsame(left, right) if lower(left) == lower(right)\n"
GIVEN = {
    "call": {
        "tool": "refund",
        "arguments": {"amount_minor": 4000, "currency": "EUR", "order_id": "O-1"},
    },
    "facts": {
        "order": {
            "source": "shop",
            "value": {"currency": "EUR", "captured_minor": 12000, "refunded_minor": 6000},
        },
        "people": {"source": "shop", "value": [{"name": "Example"}]},
    },
    "usage": {"refunds": {"used": 0, "limit": 5, "window_s": 86400}},
}


@pytest.fixture(scope="module")
def bundle():
    return bundle_of(
        {
            **family(REFUNDS, name="refunds"),
            "lib/shop/shop.rego": LIBRARY,
            "parameters/refunds/data.yaml": "most: 5000\n",
        }
    )


@pytest.fixture(scope="module")
def explained(bundle):
    known = {}

    def find(**changes):
        key = json.dumps(changes, sort_keys=True)
        if key not in known:
            question = merge_patch(merge_patch(EXAMPLE, GIVEN), changes)
            known[key] = explain(bundle, question, opa=opa(), families=("refunds",))
        return known[key]

    return find


def amount(minor):
    return {"call": {"arguments": {"amount_minor": minor}}}


def said(explanation, code):
    return next(s for s in explanation.spoken if s.verdict.code == code)


def test_what_allows_shows_the_values_that_it_compared(explained):
    spoken = said(explained(), "COVERED")
    assert [(c.values, c.held) for c in spoken.conditions] == [
        ('"EUR" == "EUR"', True),
        ("4000 <= 12000 - 6000", True),
    ]


def test_a_condition_names_the_line_that_it_stands_on(explained, bundle):
    place = said(explained(**amount(5001)), "LARGE").conditions[0].place
    lines = bundle.files[place.file].decode().splitlines()
    assert "<= data.parameters.refunds.most" in lines[place.line - 1]


def test_what_holds_by_a_negation_shows_what_failed_behind_it(explained):
    spoken = said(explained(**amount(5001)), "LARGE")
    assert [(c.values, c.held) for c in spoken.conditions] == [("5001 <= 5000", False)]


def test_only_what_failed_is_shown_and_not_what_was_never_reached(explained):
    spoken = said(explained(usage={"refunds": {"used": 2}}), "LARGE")
    assert [c.values for c in spoken.conditions] == ["2 < 2"]


def test_a_name_without_a_value_is_said_to_have_none(explained):
    spoken = said(explained(facts={"order": {"value": None}}), "NOT_COVERED")
    assert spoken.conditions[0].values == "order := input.facts.order.value (undefined)"


def test_a_function_of_a_library_is_followed_with_what_it_was_given(explained):
    spoken = said(explained(principal={"id": "stranger"}), "STRANGERS")
    assert [c.place.file for c in spoken.conditions] == ["lib/shop/shop.rego"]
    assert [c.values for c in spoken.conditions] == ['lower("Example") == lower("stranger")']


def test_the_least_change_that_would_be_allowed_is_found(explained):
    (found,) = explained(**amount(5001)).allowed_if
    assert found.effect is Effect.ALLOW
    assert found.changes == (
        Change(pointer="/call/arguments/amount_minor", value=5000, highest=5000),
    )


def test_two_reasons_take_two_changes(explained):
    (found,) = explained(**amount(5001), usage={"refunds": {"used": 2}}).allowed_if
    assert {(c.pointer, c.value) for c in found.changes} == {
        ("/call/arguments/amount_minor", 5000),
        ("/usage/refunds/used", 1),
    }


def test_each_reason_is_told_what_rids_of_it_alone(explained):
    explanation = explained(**amount(6001))
    found = {removal.code: removal.alternative for removal in explanation.removals}
    assert [c.highest for c in found["NOT_COVERED"].changes] == [6000]
    assert found["NOT_COVERED"].effect is Effect.HOLD
    assert [c.highest for c in found["LARGE"].changes] == [5000]


def test_where_nothing_is_found_nothing_is_claimed(explained):
    explanation = explained(facts={"order": {"value": None}})
    assert explanation.allowed_if == ()
    assert [removal.alternative for removal in explanation.removals] == [None]


def test_a_scale_has_the_exact_borders(explained):
    (scale,) = explained(**amount(5001)).scales
    assert scale.bands == (
        Band(effect=Effect.ALLOW, lowest=None, highest=5000),
        Band(effect=Effect.HOLD, lowest=5001, highest=6000),
        Band(effect=Effect.DENY, lowest=6001, highest=None),
    )


def test_every_alternative_is_what_the_policy_answers(explained, bundle):
    """Asked once more, by hand: the explanation cannot be taken at its word here."""
    question = merge_patch(merge_patch(EXAMPLE, GIVEN), amount(6001))
    for alternative in explained(**amount(6001)).allowed_if:
        changed = merge_patch(question, amount(alternative.changes[0].value))
        with asking(bundle, opa=opa(), families=["refunds"]) as asked:
            (opinion,) = asked.opinions([changed])
        assert {verdict.effect for verdict in opinion.verdicts} == {Effect.ALLOW}


def test_silence_tells_what_a_rule_would_have_allowed():
    bundle = bundle_of({})
    question = merge_patch(EXAMPLE, {"tool": {"behaviour": {"destructive": False}}})
    explanation = explain(bundle, question, opa=opa(), families=("behaviour",))
    assert said(explanation, "SILENCE").conditions == ()
    (found,) = explanation.allowed_if
    assert {(c.pointer, c.value) for c in found.changes} == {
        ("/tool/behaviour/read_only", True),
        ("/tool/behaviour/open_world", False),
    }


def test_what_a_call_is_stays_as_it_is():
    rule = (
        'verdicts contains {"effect": "HOLD", "code": "WAITS", "message": "Waits."} '
        'if input.call.tool == "example"\n\n' + ALLOW_ALL
    )
    explanation = explain(bundle_of(family(rule)), EXAMPLE, opa=opa(), families=("sample",))
    assert explanation.effect is Effect.HOLD
    assert explanation.allowed_if == ()


def test_a_rule_that_errs_is_named_and_nothing_is_claimed():
    rule = (
        ALLOW_ALL
        + "\n\n"
        + (
            'verdicts contains {"effect": "DENY", "code": "OUTSIDE", "message": "No."} '
            'if net.cidr_contains("10.0.0.0/8", input.call.arguments.host)'
        )
    )
    question = merge_patch(EXAMPLE, {"call": {"arguments": {"host": "nowhere"}}})
    explanation = explain(bundle_of(family(rule)), question, opa=opa())
    assert [s.verdict.code for s in explanation.spoken] == ["POLICY_ERROR"]
    assert explanation.problem.startswith("broker/rules/sample/sample.rego:5: net.cidr_contains")
    assert explanation.allowed_if == ()


def test_parameters_of_a_case_take_the_place_of_the_bundle_s(bundle):
    question = merge_patch(merge_patch(EXAMPLE, GIVEN), amount(5001))
    explanation = explain(
        bundle,
        question,
        opa=opa(),
        parameters={"refunds": {"most": 5001}},
        families=("refunds",),
    )
    assert explanation.effect is Effect.ALLOW


def test_the_document_has_every_attribute_of_the_value(explained):
    explanation = explained(**amount(6001))
    document = json.loads(json.dumps(explanation.to_json()))
    assert document.keys() == {f.name for f in dataclasses.fields(explanation)}
    assert document["spoken"][0]["conditions"][0]["values"] == "6001 <= 12000 - 6000"


def test_long_values_are_cut_and_what_strangers_wrote_is_escaped():
    rule = (
        'verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."} '
        'if input.call.arguments.text != "x"'
    )
    text = "a\u202e" + "b" * 500
    question = merge_patch(EXAMPLE, {"call": {"arguments": {"text": text}}})
    explanation = explain(bundle_of(family(rule)), question, opa=opa(), families=("sample",))
    (condition,) = explanation.spoken[0].conditions
    assert "\u202e" not in condition.values
    assert len(condition.values) < 120


def test_what_a_rule_gathers_is_followed_to_what_put_it_there():
    rules = """
verdicts contains {"effect": "HOLD", "code": "WAITS", "message": "Waits."} if "HOLD" in _effects

_effects contains "HOLD" if input.time.weekday == "Monday"
"""
    explanation = explain(bundle_of(family(rules)), EXAMPLE, opa=opa(), families=("sample",))
    values = [condition.values for condition in said(explanation, "WAITS").conditions]
    assert values == ['"HOLD" in ["HOLD"]', '"Monday" == "Monday"']


def test_a_change_is_asked_only_of_what_the_question_has():
    """Putting in a fact that was never looked up would claim what nobody could bring about."""
    rule = (
        'verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."} '
        "if input.facts.order.value.open == true"
    )
    explanation = explain(bundle_of(family(rule)), EXAMPLE, opa=opa(), families=("sample",))
    assert explanation.allowed_if == ()


MONEY = {
    "/call/arguments/amount_minor": "EUR",
    "/facts/order/value/captured_minor": "EUR",
    "/facts/order/value/refunded_minor": "EUR",
}


def test_what_is_only_added_and_compared_with_an_amount_is_shown_as_money(bundle):
    question = merge_patch(
        EXAMPLE, merge_patch(GIVEN, {"call": {"arguments": {"amount_minor": 5500}}})
    )
    found = explain(bundle, question, opa=opa(), money=MONEY)
    shown = {c.values for spoken in found.spoken for c in spoken.conditions}
    assert {"55.00 <= 120.00 - 60.00", "55.00 <= 50.00"} <= shown
    assert found.money == MONEY
    assert found.scales[0].value == 5500


def test_an_amount_that_is_reckoned_with_otherwise_stays_minor_units():
    body = """
verdicts contains {"effect": "HOLD", "code": "LARGE", "message": "Large."} if {
	input.call.arguments.amount_minor / 100 > 50
	input.call.arguments.amount_minor > 5000
}
"""
    question = merge_patch(
        EXAMPLE, merge_patch(GIVEN, {"call": {"arguments": {"amount_minor": 5500}}})
    )
    found = explain(bundle_of(family(body, name="refunds")), question, opa=opa(), money=MONEY)
    shown = [c.values for spoken in found.spoken for c in spoken.conditions]
    assert shown == ["5500 / 100 > 50", "55.00 > 50.00"]
