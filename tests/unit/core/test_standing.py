"""A rejected call is known again however it is written, and other calls are not taken for it."""

from typing import Any

import pytest

from broker.core.calls import ToolCall
from broker.core.decision import Effect, HoldTerms, Verdict, settle
from broker.core.manifest import ToolManifest, parse
from broker.core.standing import (
    NOT_ITS_DOING,
    REJECTED_BEFORE,
    DenialBounds,
    Rejection,
    Standing,
    StandingAsked,
    asked_again,
    counts,
    marks,
    marks_of,
    required,
    too_many,
)

TERMS = HoldTerms(reviewers=("leads",), decide_within_s=600, run_within_s=300)
SEND: dict[str, Any] = {
    "name": "send",
    "description": "Sends.",
    "summary": "Send",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"to": {}, "cc": {}, "body": {}},
    },
    "behaviour": {"read_only": False, "destructive": False, "open_world": True},
    "targets": ["/to", "/cc"],
    "payload": ["/body"],
    "scopes": [{"name": "mail:send"}],
    "runner": "worker",
    "deadline_s": 10,
}


def manifest(**changed: Any) -> ToolManifest:
    return parse({**SEND, **changed})


def call(arguments: dict[str, Any]) -> ToolCall:
    return ToolCall.of("send", arguments, "r1")


def is_again(was: dict[str, Any], now: dict[str, Any], of: ToolManifest | None = None) -> bool:
    of = of or manifest()
    kept = Rejection(invocation="invocations/1", reached=(marks(of, call(was)),), message="No.")
    return bool(asked_again(Standing(rejections=(kept,)), of, call(now)))


@pytest.mark.parametrize(
    "now",
    [
        {"to": "bob@evil.example", "body": "other words"},
        {"body": "x", "to": "bob@evil.example"},
        {"to": "BOB@Evil.Example"},
        {"to": " bob@evil.example "},
        {"to": "bob%40evil.example"},
        {"to": "b\u043eb@evil.example"},
        {"to": "bo\u200bb@evil.example"},
        {"to": "\uff42ob@evil.example"},
        {"to": ["bob@evil.example"]},
        {"to": ["amy@shop.example", "bob@evil.example"]},
        {"cc": "bob@evil.example"},
        {"to": {"bob@evil.example": 1}},
        {"to": "Ym9iQGV2aWwuZXhhbXBsZQ=="},
    ],
)
def test_whom_a_rejected_call_reached_is_known_again(now: dict[str, Any]):
    assert is_again({"to": "bob@evil.example", "body": "hello"}, now)


@pytest.mark.parametrize(
    "now", [{"to": "amy@shop.example"}, {"to": ""}, {}, {"body": "bob@evil.example"}]
)
def test_somebody_else_is_somebody_else(now: dict[str, Any]):
    assert not is_again({"to": "bob@evil.example", "body": "hello"}, now)


def test_less_than_what_was_rejected_may_be_asked():
    both = {"to": ["amy@shop.example", "bob@evil.example"]}
    assert not is_again(both, {"to": "amy@shop.example"})
    assert is_again(both, {"to": ["bob@evil.example"], "cc": ["amy@shop.example"]})


def test_where_no_target_is_declared_all_arguments_are():
    undeclared = parse({k: v for k, v in SEND.items() if k not in {"targets", "payload"}})
    was = {"to": "bob", "body": "hello", "cc": True}
    assert is_again(was, {"cc": True, "body": "hello", "to": "bob"}, undeclared)
    assert not is_again(was, {"to": "bob", "body": "bye", "cc": True}, undeclared)


def test_where_no_target_is_given_all_arguments_are():
    assert is_again({"body": "hello"}, {"body": "hello"})
    assert not is_again({"body": "hello"}, {"body": "bye"})
    assert not is_again({"body": "hello"}, {"to": "amy@shop.example", "body": "bye"})


def test_a_call_without_arguments_is_itself_alone():
    assert is_again({}, {})
    assert not is_again({}, {"to": "bob"})


def test_signs_alone_are_told_apart():
    assert is_again({"to": "..."}, {"to": "..."})
    assert not is_again({"to": "..."}, {"to": "!?"})
    assert not is_again({"to": "..."}, {"to": "bob"})


def test_a_number_and_its_digits_are_one():
    assert is_again({"to": 1001}, {"to": "1001"})
    assert not is_again({"to": 1001}, {"to": 1002})


def test_a_rejection_that_says_nothing_is_like_nothing():
    for reached in ((), ((),)):
        kept = Rejection(invocation="invocations/1", reached=reached)
        assert not asked_again(Standing(rejections=(kept,)), manifest(), call({"to": "bob"}))


def test_the_model_is_told_why_and_the_log_only_which():
    kept = Rejection(
        invocation="invocations/1", reached=(marks(manifest(), call({"to": "bob"})),), message="No!"
    )
    (verdict,) = asked_again(Standing(rejections=(kept,)), manifest(), call({"to": "Bob"}))
    assert (verdict.effect, verdict.code) == (Effect.DENY, REJECTED_BEFORE)
    assert "No!" in verdict.told
    assert "No!" not in verdict.message
    assert "invocations/1" in verdict.message


def test_marks_survive_being_written():
    found = marks(manifest(), call({"to": ["bob", "amy"]}))
    assert marks_of([[list(each) for each in found]]) == (found,)


def test_the_bound_is_reached_by_as_many_denials_as_it_says():
    bounds = DenialBounds(denials_max=3)
    assert not too_many(Standing(denials=2), bounds, TERMS)
    (verdict,) = too_many(Standing(denials=3), bounds, TERMS)
    assert (verdict.effect, verdict.terms) == (Effect.HOLD, TERMS)


def test_a_call_that_waits_for_its_denials_does_not_require_fewer():
    asked = StandingAsked(session="sessions/1", tool="send", since=0.0)
    bounds = DenialBounds(denials_max=3)
    below = required(asked, Standing(denials=2), bounds)
    waits = required(asked, Standing(denials=3), bounds)
    assert below is not None
    assert waits is not None
    assert (below.denials_below, waits.denials_below) == (3, None)
    assert required(None, Standing(), bounds) is None


@pytest.mark.parametrize("code", ["ARGUMENTS_INVALID", "TOOL_UNKNOWN", *NOT_ITS_DOING])
def test_a_denial_for_what_others_do_is_held_against_nobody(code: str):
    denied = Verdict(effect=Effect.DENY, stage="floor", code=code, message="No.")
    assert counts(settle([denied])) is (code not in NOT_ITS_DOING)
    both = Verdict(effect=Effect.DENY, stage="floor", code="SCOPE_NOT_BOUND", message="No.")
    assert counts(settle([denied, both]))
