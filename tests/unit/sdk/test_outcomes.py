from typing import Any

import pytest

from broker.sdk import Defect, Failed, Held, Refused, Succeeded, Unknown
from broker.sdk.outcomes import outcome_from
from broker.v1 import types_pb2

State = types_pb2.Invocation.State
REST = " Do not ask for it again; tell the user."
UNKNOWN = (
    "Unknown: this may have happened, and it is not known whether it did. "
    "Do not repeat it; tell the user that a person will look."
)
HELD = (
    "Held: A large refund is decided by a person. It has not run. "
    "Do not ask for it again; tell the user that it waits for a person."
)


def record(state: Any, **fields: Any) -> types_pb2.Invocation:
    return types_pb2.Invocation(name="invocations/i-1", tool="refund", state=state, **fields)


@pytest.mark.parametrize(
    ("invocation", "kind", "text"),
    [
        (record(State.STATE_SUCCEEDED, result_json='{"é":1}'.encode()), Succeeded, '{"é":1}'),
        (record(State.STATE_SUCCEEDED), Succeeded, "Succeeded. There is no result."),
        (
            record(State.STATE_SUCCEEDED, result_withheld=True),
            Succeeded,
            "Succeeded. The result is withheld; do not ask for it again.",
        ),
        (
            record(State.STATE_DENIED, message="The payment does not cover this refund."),
            Refused,
            f"Refused: The payment does not cover this refund.{REST}",
        ),
        (
            record(State.STATE_DENIED, reasons=[types_pb2.Reason(code="A", message="Not so")]),
            Refused,
            f"Refused: Not so.{REST}",
        ),
        (record(State.STATE_DENIED), Refused, f"Refused: The call is not allowed.{REST}"),
        (
            record(State.STATE_DENIED, code="ARGUMENTS_INVALID", message="/a: must be a string"),
            Refused,
            "Refused: /a: must be a string. Nothing ran; correct the arguments.",
        ),
        (
            record(State.STATE_REJECTED, message="Ask for 50.00!"),
            Refused,
            f"Rejected by a reviewer: Ask for 50.00!{REST}",
        ),
        (record(State.STATE_EXPIRED), Refused, f"Refused: Nobody decided in time.{REST}"),
        (record(State.STATE_CANCELLED), Refused, f"Refused: It was taken back.{REST}"),
        (
            record(State.STATE_FAILED, code="ORDER_CLOSED", message="The order is closed."),
            Failed,
            "Failed: The order is closed. Nothing took effect.",
        ),
        (
            record(State.STATE_UNKNOWN, message="the worker said: secret"),
            Unknown,
            UNKNOWN,
        ),
        (
            record(State.STATE_HELD, message="A large refund is decided by a person."),
            Held,
            HELD,
        ),
        (
            record(State.STATE_RUNNING),
            Held,
            f"Running: this has begun and has not ended yet.{REST}",
        ),
    ],
)
def test_the_model_is_told_in_one_wording(
    invocation: types_pb2.Invocation, kind: type, text: str
) -> None:
    outcome = outcome_from(invocation, Held)
    assert type(outcome) is kind
    assert outcome.for_model() == text


def test_an_outcome_carries_the_record() -> None:
    outcome = outcome_from(
        record(
            State.STATE_DENIED,
            code="ARGUMENTS_INVALID",
            session="sessions/s-1",
            request_id="c1",
            digest="sha256:00",
            reasons=[types_pb2.Reason(code="A", message="M", pointer="/a")],
        ),
        Held,
    )
    assert (outcome.name, outcome.tool, outcome.state) == ("invocations/i-1", "refund", "DENIED")
    assert (outcome.session, outcome.request_id, outcome.digest) == (
        "sessions/s-1",
        "c1",
        "sha256:00",
    )
    (reason,) = outcome.reasons
    assert (reason.code, reason.message, reason.pointer) == ("A", "M", "/a")


def test_a_state_of_a_later_release_is_unknown() -> None:
    assert isinstance(outcome_from(record(77), Held), Unknown)


def test_a_result_that_is_not_json_is_the_brokers_fault() -> None:
    with pytest.raises(Defect, match="do not repeat"):
        outcome_from(record(State.STATE_SUCCEEDED, result_json=b"{"), Held)
