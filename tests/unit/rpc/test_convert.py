"""Messages and values: what goes out says exactly what is meant, what comes in is bounded."""

from dataclasses import replace

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as some

from broker.core.calls import Invocation, ToolCall
from broker.core.decision import Decision, Effect, Verdict
from broker.core.erased import Erased
from broker.core.errors import MalformedRequest
from broker.core.lifecycle import InvocationState
from broker.core.scopes import Scope
from broker.rpc.convert import (
    INSTANT_S_MAX,
    LENGTH_S_MAX,
    instant,
    scope_in,
    scope_out,
    seconds,
    timestamp,
    words_in,
)
from broker.rpc.convert_hold import hold_out
from broker.rpc.convert_invocation import effect_named, invocation_out, state_in, state_out
from broker.v1 import types_pb2
from tests.hold_views import view

NOW = 1_800_000_000.0


def verdict(effect: Effect, code: str, **given) -> Verdict:
    return Verdict(effect=effect, stage="policy", code=code, message=f"It is {code}.", **given)


def invocation(state: InvocationState, *verdicts: Verdict, **given) -> Invocation:
    effect = min((v.effect for v in verdicts), default=Effect.ALLOW)
    known = Invocation(
        name="invocations/1",
        session="sessions/1",
        principal="p",
        agent="agents/a",
        request_id="r",
        call=ToolCall(tool="t", arguments={}, canonical=b"{}", digest="sha256:0", request_id="r"),
        state=state,
        decision=Decision(effect=effect, verdicts=verdicts) if verdicts else None,
        tool_revision="",
        policy_revision="",
        control_revision=1,
        hold="holds/1",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(known, **given)


@pytest.mark.parametrize("state", [s for s in InvocationState if s is not InvocationState.NEW])
def test_every_state_has_its_number_and_comes_back(state):
    assert state_in(state_out(state)) is state


def test_no_state_is_no_filter_and_an_unknown_one_is_malformed():
    assert state_in(types_pb2.Invocation.STATE_UNSPECIFIED) is None
    with pytest.raises(MalformedRequest):
        state_in(99)


def test_an_effect_that_nobody_knows_is_unspecified_and_readers_take_it_for_deny():
    assert effect_named("ALLOW") == types_pb2.EFFECT_ALLOW
    assert effect_named("MAYBE") == effect_named("") == types_pb2.EFFECT_UNSPECIFIED


@settings(deadline=None)
@given(some.floats(min_value=0.001, max_value=INSTANT_S_MAX))
def test_a_time_goes_out_and_comes_back(at):
    message = timestamp(at)
    assert message is not None
    assert instant(message, field="x") == pytest.approx(at, abs=1e-3)


def test_no_time_is_left_out_and_one_beyond_messages_is_the_last_there_is():
    assert timestamp(0.0) is None
    assert timestamp(1e30).seconds == INSTANT_S_MAX


@pytest.mark.parametrize(
    "wrong",
    [
        Timestamp(seconds=-1),
        Timestamp(nanos=-1),
        Timestamp(seconds=2**62),
        Timestamp(seconds=INSTANT_S_MAX, nanos=999_999_999),
    ],
)
def test_a_time_that_could_not_go_out_again_does_not_come_in(wrong):
    with pytest.raises(MalformedRequest):
        instant(wrong, field="expire_time")


@pytest.mark.parametrize(
    "wrong", [Duration(seconds=-1), Duration(nanos=-1), Duration(seconds=LENGTH_S_MAX + 1)]
)
def test_a_length_of_time_is_bounded(wrong):
    with pytest.raises(MalformedRequest):
        seconds(wrong, field="life")


JSON_SCALARS = (
    some.none() | some.booleans() | some.integers(-(2**53) + 1, 2**53 - 1) | some.text(max_size=9)
)


@settings(deadline=None)
@given(
    some.dictionaries(
        some.sampled_from(["/a", "/a/0", "order#/x", "principal#/id"]),
        some.lists(JSON_SCALARS, min_size=1, max_size=5).map(tuple),
    )
)
def test_a_scope_goes_out_and_comes_back(where):
    scope = Scope(name="s:w", where=where)
    assert scope_in(scope_out(scope), field="scope") == scope


def test_turns_in_which_nothing_was_typed_are_no_words():
    assert words_in(["a", "", "b"]) == ("a", "b")


def test_a_denied_call_tells_its_reasons_and_no_allowing_ones():
    told = invocation_out(
        invocation(
            InvocationState.DENIED,
            verdict(Effect.DENY, "NO"),
            verdict(Effect.ALLOW, "YES"),
            verdict(Effect.HOLD, "WAIT"),
        )
    )
    assert [reason.code for reason in told.reasons] == ["NO"]
    assert told.effect == types_pb2.EFFECT_DENY
    assert told.hold == ""


def test_what_is_concealed_from_callers_is_concealed_on_the_wire():
    told = invocation_out(
        invocation(InvocationState.DENIED, verdict(Effect.DENY, "SCOPE_MISSING", concealed=True))
    )
    assert "SCOPE_MISSING" not in str(told)


def test_an_allowed_call_tells_no_reasons():
    told = invocation_out(
        invocation(InvocationState.SUCCEEDED, verdict(Effect.ALLOW, "YES"), result=b'{"a":1}')
    )
    assert (list(told.reasons), told.result_json) == ([], b'{"a":1}')
    assert not told.result_withheld


def test_a_result_that_is_withheld_says_so_and_one_that_nobody_knows_does_not():
    withheld = invocation(
        InvocationState.SUCCEEDED, verdict(Effect.ALLOW, "YES"), code="RESULT_WITHHELD"
    )
    unknown = replace(withheld, code="")
    assert invocation_out(withheld).result_withheld
    assert not invocation_out(unknown).result_withheld


def test_a_hold_is_named_while_the_call_is_held_alone():
    held = invocation(InvocationState.HELD, verdict(Effect.HOLD, "WAIT"))
    assert invocation_out(held).hold == "holds/1"
    assert invocation_out(replace(held, state=InvocationState.RUNNING)).hold == ""


def test_a_hold_says_when_it_was_erased_and_by_whom():
    erased = hold_out(view({}, erased=Erased(at=1_800_000_000.0, by="retention")))
    assert (erased.erase_time.seconds, erased.erased_by) == (1_800_000_000, "retention")
    whole = hold_out(view({}))
    assert (whole.HasField("erase_time"), whole.erased_by) == (False, "")
