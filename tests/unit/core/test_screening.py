"""What refuses a call before anything is looked up."""

from broker.core.decision import Effect, settle
from broker.core.freezes import Freeze, FreezeKind
from broker.core.schemas import Validator
from broker.core.screening import screen, visible_reasons
from tests.fakes.desk import call, caller, holding, manifest

TOOL = manifest()
VALIDATOR = Validator(TOOL.arguments)


def screened(asked=None, *, tool=TOOL, effective=None, freezes=(), now=10.0):
    return screen(
        asked or call(),
        tool,
        VALIDATOR if tool else None,
        holding() if effective is None else effective,
        freezes,
        caller(),
        now,
    )


def freeze(kind: FreezeKind, subject: str = "", expires_at: float = 0.0) -> Freeze:
    return Freeze(
        name="freezes/1",
        kind=kind,
        subject=subject,
        reason="a leak that nobody may hear of",
        frozen_by="operators/o",
        created_at=0.0,
        expires_at=expires_at,
    )


def codes(verdicts) -> list[str]:
    return [verdict.code for verdict in verdicts]


def test_a_call_in_form_meets_silence():
    assert screened() == ()


def test_an_unknown_tool_is_denied():
    assert codes(screened(tool=None)) == ["TOOL_UNKNOWN"]


def test_a_missing_scope_is_denied_and_nothing_after_it_is_looked_at():
    verdicts = screened(call(amount_minor="much"), effective={}, freezes=[freeze(FreezeKind.ALL)])
    assert codes(verdicts) == ["SCOPE_MISSING"]


def test_one_scope_of_two_is_not_enough():
    scopes = [{"name": "refunds:write"}, {"name": "refunds:large"}]
    assert codes(screened(tool=manifest(scopes=scopes))) == ["SCOPE_MISSING"]


def test_a_freeze_of_any_kind_denies_without_its_reason():
    for kind, subject in (
        (FreezeKind.TOOL, "refund"),
        (FreezeKind.AGENT, "agents/support"),
        (FreezeKind.PRINCIPAL, "customers/c-204"),
        (FreezeKind.SESSION, "sessions/s-1"),
        (FreezeKind.ALL, ""),
    ):
        verdicts = screened(freezes=[freeze(kind, subject)])
        assert [(v.code, v.message) for v in verdicts] == [("FROZEN", "This is stopped for now.")]


def test_a_freeze_ends_when_it_says():
    freezes = [freeze(FreezeKind.ALL, expires_at=20.0)]
    assert codes(screened(freezes=freezes, now=19.9)) == ["FROZEN"]
    assert screened(freezes=freezes, now=20.0) == ()


def test_a_freeze_of_another_is_none_of_ours():
    assert screened(freezes=[freeze(FreezeKind.TOOL, "other")]) == ()


def test_arguments_out_of_form_are_denied_by_place_and_never_by_value():
    (verdict,) = screened(call(amount_minor="hunter2", secret="hunter2"))
    assert verdict.code == "ARGUMENTS_INVALID"
    assert "/amount_minor: is not of type integer" in verdict.message
    assert "/secret: is not a declared property" in verdict.message
    assert "hunter2" not in verdict.message


def test_one_leaf_at_fault_is_pointed_to():
    decision = settle(screened(call(amount_minor=0)))
    assert decision.effect is Effect.DENY
    assert visible_reasons(decision) == (
        ("ARGUMENTS_INVALID", "/amount_minor: is less than 1", "/amount_minor"),
    )


def test_more_exclusive_values_than_can_be_taken_are_denied():
    arguments = {
        "type": "object",
        "additionalProperties": False,
        "required": ["ids"],
        "properties": {"ids": {"$ref": "#/$defs/ids"}},
        "$defs": {"ids": {"anyOf": [{"type": "array", "items": {"type": "string"}}]}},
    }
    tool = manifest(
        arguments=arguments,
        exclusive=["/ids"],
        targets=None,
        payload=None,
        facts=None,
        limits=None,
        review=None,
        summary="x",
        scopes=[{"name": "refunds:write"}],
    )
    asked = call()
    asked.arguments.clear()
    asked.arguments["ids"] = [f"O-{n}" for n in range(51)]
    verdicts = screen(asked, tool, Validator(arguments), holding(), (), caller(), 0.0)
    assert codes(verdicts) == ["ARGUMENTS_INVALID"]


def test_a_name_full_of_escapes_is_shown_as_text():
    (verdict,) = screened(call(**{"\x1b[2J": 1}))
    assert "\x1b" not in verdict.message
