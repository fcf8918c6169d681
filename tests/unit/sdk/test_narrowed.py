"""The model is told what really ran, where a reviewer approved less than was asked."""

import json
from typing import Any

import pytest

from broker.sdk import Defect, Failed, Held, Succeeded, Unknown
from broker.sdk.client import Session
from broker.sdk.narrowed import difference, put
from broker.sdk.outcomes import outcome_from
from broker.sdk.testing import ScriptedBroker, failed, narrowed, succeeded
from broker.v1 import types_pb2

State = types_pb2.Invocation.State
ASKED = {"order_id": "O-1001", "amount_minor": 5500}
LESS = "A reviewer approved less than was asked: /amount_minor 4000 instead of 5500.\n"


def record(state: Any, **fields: Any) -> types_pb2.Invocation:
    return types_pb2.Invocation(
        name="invocations/i-1",
        tool="refund",
        state=state,
        arguments_json=json.dumps({**ASKED, "amount_minor": 4000}).encode(),
        asked_arguments_json=json.dumps(ASKED).encode(),
        **fields,
    )


async def opened(broker: ScriptedBroker) -> Session:
    mandate = await broker.create_mandate(principal="customers/c-204", agent="agents/support")
    return await broker.open_session(mandate)


@pytest.mark.parametrize(
    ("invocation", "kind", "text"),
    [
        (record(State.STATE_SUCCEEDED, result_json=b'{"id":1}'), Succeeded, LESS + '{"id":1}'),
        (
            record(State.STATE_SUCCEEDED, result_withheld=True),
            Succeeded,
            LESS + "Succeeded. The result is withheld; do not ask for it again.",
        ),
        (
            record(State.STATE_FAILED, message="The order is closed."),
            Failed,
            LESS + "Failed: The order is closed. Nothing took effect.",
        ),
        (
            record(State.STATE_RUNNING),
            Held,
            LESS + "Running: this has begun and has not ended yet. "
            "Do not ask for it again; tell the user.",
        ),
        (
            record(State.STATE_UNKNOWN),
            Unknown,
            LESS + "Unknown: this may have happened, and it is not known whether it did. "
            "Do not repeat it; tell the user that a person will look.",
        ),
        (
            record(State.STATE_HELD, message="A person decides."),
            Held,
            LESS.replace("approved less", "made this less")
            + "Held: A person decides. It has not run. "
            "Do not ask for it again; tell the user that it waits for a person.",
        ),
    ],
)
def test_what_really_ran_comes_first(
    invocation: types_pb2.Invocation, kind: type, text: str
) -> None:
    outcome = outcome_from(invocation, Held)
    assert type(outcome) is kind
    assert outcome.for_model() == text
    assert outcome.arguments == {"order_id": "O-1001", "amount_minor": 4000}
    assert outcome.asked == ASKED


def test_a_call_that_nobody_made_less_was_asked_as_it_ran() -> None:
    invocation = types_pb2.Invocation(state=State.STATE_SUCCEEDED, arguments_json=b'{"n":1}')
    outcome = outcome_from(invocation, Held)
    assert (outcome.arguments, outcome.asked) == ({"n": 1}, None)


def test_arguments_that_are_not_json_are_the_brokers_fault() -> None:
    with pytest.raises(Defect, match="arguments are not JSON"):
        outcome_from(types_pb2.Invocation(asked_arguments_json=b"{"), Held)


@pytest.mark.parametrize(
    ("asked", "ran", "told"),
    [
        ({"to": ["a", "b"]}, {"to": ["b"]}, '/to ["b"] instead of ["a", "b"]'),
        ({"a/b": {"~": 2}}, {"a/b": {"~": 1}}, "/a~1b/~0 1 instead of 2"),
        ({"a": [{"n": 2}, {"n": 3}]}, {"a": [{"n": 2}, {"n": 1}]}, "/a/1/n 1 instead of 3"),
        ({"x": 2, "y": 3}, {"x": 1, "y": 0}, "/x 1 instead of 2, /y 0 instead of 3"),
        ({"x": 1}, {"x": True}, "/x true instead of 1"),
        ({"x": 1}, {"x": 1}, ""),
    ],
)  # fmt: skip
def test_a_difference_is_told_where_it_is(
    asked: dict[str, Any], ran: dict[str, Any], told: str
) -> None:
    assert difference(asked, ran) == told


async def test_a_script_narrows_a_held_call() -> None:
    less = narrowed({"/amount_minor": 4000}, lambda arguments: arguments["amount_minor"])
    broker = ScriptedBroker().hold("refund", "A person decides.", then=less)
    held = await (await opened(broker)).invoke("refund", ASKED, request_id="r1")
    assert isinstance(held, Held)
    outcome = await held.wait()
    assert outcome.for_model() == f"{LESS}4000"
    assert (outcome.asked, broker.calls[0].arguments) == (ASKED, ASKED)


async def test_a_scripted_narrowed_call_waits_for_a_yes_to_exactly_that() -> None:
    less = narrowed({"/amount_minor": 4000}, message="It waits again.", then=failed("F", "No."))
    broker = ScriptedBroker().hold("refund", "A person decides.", then=less)
    held = await (await opened(broker)).invoke("refund", ASKED)
    assert isinstance(held, Held)
    outcome = await held.wait()
    assert outcome.for_model() == f"{LESS}Failed: No. Nothing took effect."


async def test_the_same_request_after_narrowing_is_the_same_call() -> None:
    broker = ScriptedBroker().answer("refund", narrowed({"/amount_minor": 4000}, 1))
    session = await opened(broker)
    first = await session.invoke("refund", ASKED, request_id="r1")
    again = await session.invoke("refund", ASKED, request_id="r1")
    assert first == again


def test_the_blocking_client_is_told_as_well() -> None:
    less = narrowed({"/amount_minor": 4000}, 1)
    broker = ScriptedBroker().hold("refund", "A person decides.", then=less).sync
    mandate = broker.create_mandate(principal="customers/c-204", agent="agents/support")
    with broker.open_session(mandate) as session:
        held = session.invoke("refund", ASKED)
        assert isinstance(held, Held)
        outcome = held.wait()
    assert (outcome.for_model(), outcome.asked) == (f"{LESS}1", ASKED)


@pytest.mark.parametrize("pointer", ["/missing", "/a/9", "/a/x", "/b/c", ""])
def test_a_script_makes_nothing_less_that_is_not_there(pointer: str) -> None:
    with pytest.raises(KeyError):
        put({"a": [1], "b": 2}, {pointer: 1})


def test_putting_leaves_what_was_asked_as_it_was() -> None:
    asked = {"lines": [{"n": 2}]}
    assert put(asked, {"/lines/0/n": 1}) == {"lines": [{"n": 1}]}
    assert asked == {"lines": [{"n": 2}]}


async def test_a_scripted_success_may_be_anything_but_narrowed() -> None:
    broker = ScriptedBroker().answer("refund", succeeded(1))
    outcome = await (await opened(broker)).invoke("refund", ASKED)
    assert (outcome.asked, outcome.arguments, outcome.for_model()) == (None, ASKED, "1")
