"""Holds as reviewers see them, made by hand: for what only reads one."""

from collections.abc import Mapping
from typing import Any

from broker.core.calls import Agent as AgentValue
from broker.core.calls import Invocation, Person, Principal, ToolCall
from broker.core.canonical import call_digest, canonical_bytes
from broker.core.holds import Hold, Requirement
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.manifest import ToolManifest, parse
from broker.core.review_view import Recorded, amount_of, argument_views
from broker.reviews import HoldView
from broker.reviews.showing import less_of, targets_of
from tests.fakes.decision_point import TERMS
from tests.world import AGENT, CUSTOMER, NOW, REFUND

OPEN: Mapping[str, Any] = {
    **REFUND,
    "targets": ["/order_id"],
    "facts": {},
    "scopes": [{"name": "refunds:write"}],
    "limits": {},
    "exclusive": [],
    "summary": "Refund",
    "review": {"money": {"/amount_minor": "/currency"}},
}
"""A tool of which nothing is looked up. Nobody checks here that arguments are as it declares."""


def call(arguments: Mapping[str, Any], *, tool: str = "refund") -> ToolCall:
    return ToolCall(
        tool=tool,
        arguments=dict(arguments),
        canonical=canonical_bytes(dict(arguments)),
        digest=call_digest(tool, dict(arguments)),
        request_id="r1",
    )


def invocation(made: ToolCall, **changes: Any) -> Invocation:
    return Invocation(
        **{
            "name": "invocations/i-1",
            "session": "sessions/s-1",
            "principal": CUSTOMER,
            "agent": AGENT,
            "request_id": "r1",
            "call": made,
            "state": InvocationState.HELD,
            "decision": None,
            "tool_revision": "",
            "policy_revision": "",
            "control_revision": 1,
            "created_at": NOW,
            "updated_at": NOW,
            **changes,
        }
    )


def view(
    arguments: Mapping[str, Any],
    *,
    document: Mapping[str, Any] = OPEN,
    recorded: Recorded | None = None,
    words: tuple[str, ...] = (),
    origins: Mapping[str, Invocation] | None = None,
    asked: Mapping[str, Any] | None = None,
    **hold: Any,
) -> HoldView:
    """A hold of a call of these arguments."""
    manifest = parse(document)
    made = call(arguments)
    return HoldView(
        hold=_hold(made, manifest, **hold),
        reviews=(),
        invocation=invocation(made, asked=call(asked) if asked is not None else None),
        words=words,
        arguments=argument_views(manifest, made.arguments, recorded or Recorded()),
        files=(),
        earlier=(),
        origins=origins or {},
        eligible=True,
        ineligible_reason="",
        targets=targets_of(manifest, made.arguments),
        narrowing=less_of(manifest, made.arguments),
    )


def _hold(made: ToolCall, manifest: ToolManifest, **changes: Any) -> Hold:
    minor, currency = amount_of(manifest, made)
    return Hold(
        **{
            "name": "holds/h-1",
            "invocation": "invocations/i-1",
            "session": "sessions/s-1",
            "state": HoldState.PENDING,
            "requirements": (Requirement(code="LARGE", message="It is large.", terms=TERMS),),
            "call_digest": made.digest,
            "tool": made.tool,
            "tool_revision": manifest.revision,
            "facts_digest": "",
            "policy_revision": "",
            "principal": Principal(id=CUSTOMER, person=Person(issuer="local", subject="c")),
            "agent": AgentValue(id=AGENT, owner=Person(issuer="local", subject="o")),
            "summary": "Refund",
            "created_at": NOW,
            "decide_by": NOW + 600,
            "amount_minor": minor,
            "currency": currency,
            **changes,
        }
    )
