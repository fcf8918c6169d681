"""The floor: bindings, absent rows and limits."""

import pytest

from broker.core.calls import Fact, Usage
from broker.core.canonical import digest
from broker.core.decision import Effect
from broker.core.floor import counter_keys, exclusive_keys, floor
from broker.core.scopes import Scope
from tests.fakes.desk import TERMS, call, caller, holding, manifest, order_fact, principal

TOOL = manifest()


def used(asked=None, tool=TOOL, *, refunds: int = 0, refunded_minor: int = 0) -> dict[str, Usage]:
    so_far = {"refunds": refunds, "refunded_minor": refunded_minor}
    return {
        name: Usage(
            used=so_far[name], limit=key.limit, window_s=key.window_s, key=key.key, version=1
        )
        for name, key in counter_keys(tool, asked or call(), caller()).items()
    }


def floored(asked=None, *, tool=TOOL, effective=None, facts=None, usage=None, who=None):
    asked = asked or call()
    return floor(
        asked,
        tool,
        holding() if effective is None else effective,
        order_fact() if facts is None else facts,
        used(asked, tool) if usage is None else usage,
        caller(who),
        hold_terms=TERMS,
    )


def codes(verdicts) -> list[str]:
    return [verdict.code for verdict in verdicts]


def test_a_call_within_everything_meets_silence():
    assert floored() == ()


def test_a_strangers_row_is_denied():
    verdicts = floored(facts=order_fact(customer_id="customers/c-999"))
    assert codes(verdicts) == ["SCOPE_NOT_BOUND"]
    assert verdicts[0].concealed


@pytest.mark.parametrize("error", ["DEADLINE_EXCEEDED", "SOURCE_UNAVAILABLE", "SHAPE_INVALID"])
def test_a_binding_on_a_failed_fact_is_denied(error):
    verdicts = floored(facts={"order": Fact(name="order", source="shop", error=error)})
    assert codes(verdicts) == ["SCOPE_NOT_BOUND"]
    assert error in verdicts[0].message


def test_a_failed_fact_that_no_scope_needs_gives_no_verdict():
    tool = manifest(scopes=[{"name": "refunds:write"}])
    failed = {"order": Fact(name="order", source="shop", error="QUERY_FAILED")}
    assert floored(tool=tool, facts=failed, usage=used(tool=tool)) == ()


def test_a_value_that_a_grant_binds_must_be_one_of_its_values():
    bound = Scope(name="refunds:write", where={"/currency": ("EUR",)})
    assert floored(effective=holding(bound)) == ()
    assert codes(floored(call(currency="USD"), effective=holding(bound))) == ["SCOPE_NOT_BOUND"]


def test_a_bound_value_that_is_missing_denies():
    for reference in ("/reason", "order#/region", "customer#/id", "principal#/age", "nonsense"):
        bound = Scope(name="refunds:write", where={reference: ("x",)})
        assert codes(floored(effective=holding(bound))) == ["SCOPE_NOT_BOUND"]


def test_an_absent_row_means_what_the_manifest_says():
    absent = {"order": Fact(name="order", source="shop", absent=True)}
    facts = TOOL.document["facts"]["order"]
    scopes = [{"name": "refunds:write"}]
    for meaning, effects in (("DENY", [Effect.DENY]), ("HOLD", [Effect.HOLD]), ("NULL", [])):
        tool = manifest(facts={"order": {**facts, "absent": meaning}}, scopes=scopes)
        verdicts = floored(tool=tool, facts=absent, usage=used(tool=tool))
        assert [v.effect for v in verdicts] == effects
        assert all(v.terms == TERMS for v in verdicts if v.effect is Effect.HOLD)


def test_the_last_call_within_a_limit_passes_and_the_next_is_denied():
    assert floored(usage=used(refunds=4)) == ()
    assert codes(floored(usage=used(refunds=5))) == ["LIMIT_EXCEEDED"]
    assert floored(usage=used(refunded_minor=44_500)) == ()
    assert codes(floored(usage=used(refunded_minor=44_501))) == ["LIMIT_EXCEEDED"]


def test_usage_that_is_unknown_or_another_counters_denies():
    assert codes(floored(usage={})) == ["USAGE_UNKNOWN", "USAGE_UNKNOWN"]
    swapped = used(call(currency="USD"))
    assert codes(floored(usage=swapped)) == ["USAGE_UNKNOWN"]


def test_sums_are_kept_apart_by_currency_and_principal():
    key = counter_keys(TOOL, call(), caller())["refunded_minor"]
    assert (key.amount, key.limit, key.window_s) == (5_500, 50_000, 86_400)
    other_currency = counter_keys(TOOL, call(currency="USD"), caller())["refunded_minor"]
    other_principal = counter_keys(TOOL, call(), caller(principal("customers/x")))
    assert len({key.key, other_currency.key, other_principal["refunded_minor"].key}) == 3
    assert counter_keys(TOOL, call(), caller())["refunds"].amount == 1


def test_exclusive_keys_say_nothing_of_the_tool():
    assert exclusive_keys(TOOL, call()) == (f"order_id={digest('O-1001')}",)
    tool = manifest(exclusive=[{"as": "order", "value": "/order_id"}])
    assert exclusive_keys(tool, call()) == (f"order={digest('O-1001')}",)


def test_an_exclusive_array_gives_each_key_once():
    asked = call(order_id=["O-2", "O-1", "O-2"])
    assert set(exclusive_keys(TOOL, asked)) == {f"order_id={digest(o)}" for o in ("O-1", "O-2")}
