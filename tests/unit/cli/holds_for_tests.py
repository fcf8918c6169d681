"""The hold of the story: customers/c-204 asks for EUR 55.00 of order O-1001 back."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from broker.cli.screen import Around
from broker.v1.review_pb2 import EarlierCall, Hold, HoldArgument, HoldRequirement, LookedUp
from broker.v1.types_pb2 import EFFECT_ALLOW, EFFECT_DENY, Invocation

NOW = datetime(2026, 11, 20, 13, 39, tzinfo=UTC)
ZONE = timezone(timedelta(hours=1))
AROUND = Around(now=NOW.timestamp(), zone=ZONE, width=100)
HOLD_NAME = "holds/01a1fbe2-37cb-7569-8b4b-71d83fa9c2d1"


def at(hour: int, minute: int) -> Timestamp:
    """A time of that day in the test's zone."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 11, 20, hour, minute, tzinfo=ZONE))
    return stamp


def the_hold(**changed: Any) -> Hold:
    """The hold, with some fields otherwise."""
    fields: dict[str, Any] = {
        "name": HOLD_NAME,
        "invocation": "invocations/01a1fbe2-37c5-76cb-857c-3f4e9c2e01ab",
        "session": "sessions/01a1fbe2-37c1-75c7-8854-8c6751d0aa11",
        "state": Hold.STATE_PENDING,
        "summary": "Refund EUR 55.00 of order O-1001 to card ending 0017",
        "tool": "refund",
        "principal": "customers/c-204",
        "agent": "agents/support-assistant",
        "words": ["My lamp arrived broken. Please refund order O-1001."],
        "requirements": [
            HoldRequirement(
                code="REFUND_NEEDS_PERSON",
                message="A large or repeated refund is decided by a person.",
                reviewers=["support-leads"],
                approvals_required=1,
            )
        ],
        "arguments": [
            HoldArgument(
                pointer="/order_id",
                value_json='"O-1001"',
                looked_up=[
                    LookedUp(reference="order#/customer_id", value_json='"customers/c-204"')
                ],
            ),
            HoldArgument(
                pointer="/amount_minor",
                value_json="5500",
                rendered="EUR 55.00",
                looked_up=[
                    LookedUp(
                        reference="order#/captured_minor",
                        value_json="12000",
                        rendered="EUR 120.00",
                    ),
                    LookedUp(
                        reference="order#/refunded_minor", value_json="6000", rendered="EUR 60.00"
                    ),
                ],
            ),
            HoldArgument(pointer="/reason", value_json='"crushed in transit"'),
        ],
        "earlier": [
            EarlierCall(time=at(14, 19), tool="read_order", effect=EFFECT_ALLOW),
            EarlierCall(time=at(14, 20), tool="refund", effect=EFFECT_DENY),
            EarlierCall(time=at(14, 20), tool="refund", effect=EFFECT_DENY),
        ],
        "call_digest": "sha256:5d1f0c9e" + "0" * 56,
        "tool_revision": "sha256:7be0d35e" + "0" * 56,
        "policy_revision": "sha256:4f2a91c7" + "0" * 56,
        "facts_digest": "sha256:90aa17c4" + "0" * 56,
        "etag": "3",
        "decide_by_time": at(18, 20),
        "eligible": True,
        "invocation_state": Invocation.STATE_HELD,
    }
    return Hold(**(fields | changed))


def narrowed_hold() -> Hold:
    """The same after a reviewer made it less: EUR 40.00 waits for a yes to exactly that."""
    arguments = list(the_hold().arguments)
    arguments[1].value_json, arguments[1].rendered = "4000", "EUR 40.00"
    return the_hold(
        name="holds/01a1fbe2-37cb-7569-8b4b-71d84fa9c2d2",
        etag="1",
        arguments=arguments,
        arguments_json=b'{"amount_minor":4000,"order_id":"O-1001"}',
        asked_arguments_json=b'{"amount_minor":5500,"order_id":"O-1001"}',
        narrows=HOLD_NAME,
        narrowing={"/amount_minor": "smaller"},
    )
