"""What screen and floor compared is told of the record, and only where they let the call go on."""

import pytest

from broker.core.decision import Effect, Verdict
from broker.core.manifest import parse
from broker.core.passing import money_in, passed
from tests.world import REFUND

MANIFEST = {
    **REFUND,
    "limits": {
        "refunds": {"per": "principal", "window_s": 86_400, "calls": 5},
        "refunded_minor": {
            "per": "principal",
            "window_s": 3_600,
            "sum": "/amount_minor",
            "currency": "/currency",
            "maximum": 50_000,
        },
        "bursts": {"per": "agent", "window_s": 90, "calls": 2},
    },
}
QUESTION = {
    "call": {"tool": "refund", "arguments": {"amount_minor": 5_500, "currency": "EUR"}},
    "facts": {"order": {"value": {"captured_minor": 12_000, "currency": "EUR"}}},
    "usage": {
        "refunds": {"used": 0, "limit": 5, "window_s": 86_400},
        "refunded_minor": {"used": 100, "limit": 50_000, "window_s": 3_600},
        "bursts": {"used": 1, "limit": 2, "window_s": 90},
    },
}


def manifest(**changed):
    return parse({**MANIFEST, **changed})


def told(question=QUESTION, verdicts=(), **changed) -> dict[str, str]:
    return {one.stage: one.told for one in passed(manifest(**changed), question, verdicts)}


def test_bindings_and_counters_are_told_with_this_call_in_them():
    assert told() == {
        "screen": "arguments fit the schema; refunds:write held; no freeze",
        "floor": "order#/customer_id is principal#/id; refunds 1 of 5 a day; "
        "refunded_minor EUR 56.00 of EUR 500.00 an hour; bursts 2 of 2 in 90 s",
    }


def test_a_stage_that_said_something_is_not_told_to_have_passed():
    held = Verdict(effect=Effect.HOLD, stage="floor", code="FACT_ABSENT", message="None.")
    assert told(verdicts=[held]).keys() == {"screen"}


def test_where_nothing_is_bound_or_limited_that_is_told():
    free = {"scopes": [{"name": "refunds:write"}], "limits": {}}
    assert told(**free)["floor"] == "nothing is bound and nothing is limited"


@pytest.mark.parametrize("usage", [{}, {"refunds": {}}, {"refunds": None}, None])
def test_a_record_that_lacks_a_counter_claims_nothing_of_it(usage):
    assert told(QUESTION | {"usage": usage})["floor"] == "order#/customer_id is principal#/id"


def test_amounts_have_the_currency_that_the_manifest_names():
    review = {"money": {"/amount_minor": "/currency", "order#/captured_minor": "/currency"}}
    assert money_in(manifest(review=review), QUESTION) == {
        "/call/arguments/amount_minor": "EUR",
        "/facts/order/value/captured_minor": "EUR",
    }


@pytest.mark.parametrize("currency", [None, "euro", 978, ""])
def test_an_amount_whose_currency_is_none_is_no_money(currency):
    question = QUESTION | {"call": {"tool": "refund", "arguments": {"currency": currency}}}
    assert money_in(manifest(review={"money": {"/amount_minor": "/currency"}}), question) == {}
