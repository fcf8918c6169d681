"""What a caller may not reach looks like what is not there; no gap in knowledge lets it through."""

import math
from typing import Any

import pytest

from broker.core.calls import Fact, Usage
from broker.core.decision import (
    CONCEALED_ROW,
    CONCEALED_TOOL,
    STAGE_POLICY,
    Effect,
    Verdict,
    settle,
)
from broker.core.floor import counter_keys, exclusive_keys, floor
from broker.core.manifest import ToolManifest
from broker.core.schemas import Validator
from broker.core.scopes import Scope
from broker.core.screening import screen, visible_reasons
from tests.fakes.desk import (
    TERMS,
    call,
    caller,
    document,
    holding,
    manifest,
    order_fact,
    principal,
)

TOOL = manifest()
VALIDATOR = Validator(TOOL.arguments)


def screened(asked=None, *, tool: ToolManifest | None = TOOL, effective=None):
    validator = VALIDATOR if tool else None
    held = holding() if effective is None else effective
    return settle(screen(asked or call(), tool, validator, held, (), caller(), 0.0))


# Policy would let everything through, so that only the floor stands in the way.
OPINION = Verdict(effect=Effect.ALLOW, stage=STAGE_POLICY, code="FINE", message="Fine.")


def floored(facts: dict[str, Fact], asked=None, *, tool=TOOL, effective=None, used: int = 0):
    asked = asked or call()
    usage = {
        name: Usage(used=used, limit=key.limit, window_s=key.window_s, key=key.key, version=0)
        for name, key in counter_keys(tool, asked, caller()).items()
    }
    held = holding() if effective is None else effective
    verdicts = floor(asked, tool, held, facts, usage, caller(), hold_terms=TERMS)
    return settle((*verdicts, OPINION))


ABSENT = {"order": Fact(name="order", source="shop", absent=True)}
STRANGERS = order_fact(customer_id="customers/c-999")


def test_an_unknown_tool_and_one_whose_scope_is_missing_look_alike():
    """I am an agent with few scopes. I call names from a list and tell from the refusals which
    tools exist, then I send nonsense to those and read their schemas out of the complaints."""
    unknown = screened(call("no_such_tool"), tool=None)
    missing = screened(effective={})
    nonsense = screened(call(amount_minor=[], extra=1), effective={})
    assert visible_reasons(unknown) == visible_reasons(missing) == visible_reasons(nonsense)
    assert visible_reasons(unknown) == ((*CONCEALED_TOOL, ""),)
    assert unknown.reasons[0].code != missing.reasons[0].code


def test_a_strangers_row_and_an_absent_one_look_alike():
    """I go through order numbers and tell from the refusals which of them exist."""
    strangers, absent = floored(STRANGERS), floored(ABSENT)
    assert visible_reasons(strangers) == visible_reasons(absent) == ((*CONCEALED_ROW, ""),)
    assert (strangers.effect, absent.effect) == (Effect.DENY, Effect.DENY)


def test_a_used_up_limit_does_not_tell_a_strangers_row_from_an_absent_one():
    """As before, with my own limit used up first, so that a second reason may give it away."""
    assert visible_reasons(floored(STRANGERS, used=10**9)) == visible_reasons(
        floored(ABSENT, used=10**9)
    )


@pytest.mark.parametrize(
    "error",
    [
        "DEADLINE_EXCEEDED",
        "SOURCE_UNAVAILABLE",
        "SHAPE_INVALID",
        "PARAMETER_ABSENT",
        "TOO_MANY_ROWS",
        "QUERY_FAILED",
    ],
)
def test_a_look_up_that_fails_is_no_consent_and_tells_nothing(error):
    """I keep the shop's database busy while I ask for a stranger's order, so that the broker cannot
    tell whose it is."""
    failed = floored({"order": Fact(name="order", source="shop", error=error)})
    assert failed.effect is Effect.DENY
    assert visible_reasons(failed) == visible_reasons(floored(STRANGERS))


def test_a_fact_that_was_never_looked_up_is_no_consent():
    """A defect leaves the fact out altogether."""
    assert floored({}).effect is Effect.DENY


def test_two_missing_sides_are_not_equal():
    """I ask where neither side of the binding is there: nothing equals nothing, I hope."""
    scopes = [{"name": "refunds:write", "where": {"/reason": "principal#/attributes/team"}}]
    tool = manifest(scopes=scopes)
    assert floored(order_fact(), tool=tool).effect is Effect.DENY


def test_null_in_the_row_is_nobodys():
    """The order has no owner: its row says null, and so does an attribute that I lack."""
    assert floored(order_fact(customer_id=None)).effect is Effect.DENY


def test_one_of_my_rows_among_a_strangers_is_not_enough():
    """The tool takes several orders. I name one of mine first and a stranger's after it."""
    spec = {**document()["facts"]["order"], "rows": "many"}
    del spec["absent"]
    tool = manifest(facts={"order": spec})
    for owners in (["customers/c-204", "customers/c-999"], []):
        rows: Any = [{"customer_id": owner} for owner in owners]
        found = {"order": Fact(name="order", source="shop", value=rows)}
        assert floored(found, tool=tool).effect is Effect.DENY
    mine: Any = [{"customer_id": "customers/c-204"}] * 2
    found = {"order": Fact(name="order", source="shop", value=mine)}
    assert floored(found, tool=tool).effect is Effect.ALLOW


@pytest.mark.parametrize(
    "amount",
    [-1, -5_500, math.nan, math.inf, 55.5, 5_500.0, True, "5500", None, [5_500], {}, 2**53],
)
def test_no_odd_amount_gives_back_what_a_limit_has_counted(amount):
    """I refund a negative amount, or one that is no number, so that the day's sum goes down. Say
    that the schema let it through."""
    asked = call()
    asked.arguments["amount_minor"] = amount
    assert "refunded_minor" not in counter_keys(TOOL, asked, caller())
    decision = floored(order_fact(), asked)
    assert "AMOUNT_INVALID" in {verdict.code for verdict in decision.reasons}


def test_a_currency_of_my_own_opens_no_second_counter():
    """Sums are kept apart by currency: I leave it out, or make it a list, for a fresh counter."""
    for currency in (None, ["EUR"], 1, {}):
        decision = floored(order_fact(), call(currency=currency))
        assert "AMOUNT_INVALID" in {verdict.code for verdict in decision.reasons}


def test_no_name_of_mine_can_pass_for_anothers_counter():
    """I name myself so that my counter's key reads like another's, and use theirs up."""
    for mark in (",", '","', "/", ":", " ", "\\", '\\",\\"', "\x00"):
        mine = caller(principal(f"a{mark}x"))
        theirs = caller(principal("a"))
        key = counter_keys(TOOL, call(currency="y"), mine)["refunded_minor"].key
        other = counter_keys(TOOL, call(currency=f"x{mark}y"), theirs)["refunded_minor"].key
        assert key != other


def test_one_order_has_one_exclusive_key_however_it_is_written():
    """I write one number in three ways, so that three refunds of it run side by side."""
    keys = {exclusive_keys(TOOL, call(order_id=value)) for value in (1, 1.0, 1e0)}
    assert len(keys) == 1
    assert exclusive_keys(TOOL, call(order_id="1")) not in keys


def test_a_bound_grant_is_not_met_by_a_value_of_another_type():
    """My grant is for level 1. I send true, which some languages take for 1."""
    held = holding(Scope(name="refunds:write", where={"/amount_minor": (1,)}))
    assert floored(order_fact(), call(amount_minor=1), effective=held).effect is Effect.ALLOW
    for other in (True, "1", [1, 2], [], None):
        decision = floored(order_fact(), call(amount_minor=other), effective=held)
        assert "SCOPE_NOT_BOUND" in {verdict.code for verdict in decision.reasons}


def test_silence_of_screen_and_floor_is_no_consent():
    """Nothing refuses me: that must not be taken for a yes."""
    assert floored(order_fact()).effect is Effect.ALLOW
    floor_alone = settle(v for v in floored(order_fact()).verdicts if v != OPINION)
    for decision in (screened(), floor_alone):
        assert decision.effect is Effect.DENY
        assert {verdict.code for verdict in decision.reasons} == {"NO_VERDICT"}
