"""One story to test with: a customer's refund, as a manifest, a caller and calls."""

import copy
from collections.abc import Mapping
from typing import Any

from broker.core.calls import Agent, Caller, Context, Fact, Person, Principal, Session, ToolCall
from broker.core.canonical import call_digest, canonical_bytes
from broker.core.decision import HoldTerms
from broker.core.manifest import ToolManifest, parse
from broker.core.scopes import EffectiveScope, Scope, effective

TERMS = HoldTerms(
    reviewers=("support-leads",), approvals_required=1, decide_within_s=60, run_within_s=60
)

REFUND: Mapping[str, Any] = {
    "name": "refund",
    "description": "Return money of an order to the method that it was paid with.",
    "summary": "Refund {/amount_minor} of order {/order_id} to {order#/method}",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "required": ["order_id", "amount_minor", "currency"],
        "properties": {
            "order_id": {"type": "string", "pattern": "^O-[0-9]{4,12}$"},
            "amount_minor": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
            "currency": {"enum": ["EUR", "USD"]},
            "reason": {"type": "string", "maxLength": 300},
        },
    },
    "result": {
        "type": "object",
        "additionalProperties": False,
        "required": ["refund_id"],
        "properties": {"refund_id": {"type": "string", "maxLength": 64}},
    },
    "output": {"trust": "trusted", "sensitivity": "none"},
    "behaviour": {
        "read_only": False,
        "destructive": True,
        "idempotent": True,
        "open_world": False,
    },
    "targets": ["/order_id"],
    "payload": ["/reason"],
    "facts": {
        "order": {
            "source": "shop",
            "sql": "SELECT customer_id, method, currency, captured_minor FROM orders"
            " WHERE id = :order_id",
            "parameters": {"order_id": "/order_id"},
            "absent": "DENY",
            "deadline_s": 0.5,
            "shape": {
                "type": "object",
                "required": ["customer_id", "method", "currency", "captured_minor"],
                "properties": {
                    "customer_id": {"type": "string"},
                    "method": {"type": "string"},
                    "currency": {"enum": ["EUR", "USD"]},
                    "captured_minor": {"type": "integer"},
                },
            },
        },
    },
    "scopes": [{"name": "refunds:write", "where": {"order#/customer_id": "principal#/id"}}],
    "limits": {
        "refunds": {"per": "principal", "window_s": 86_400, "calls": 5},
        "refunded_minor": {
            "per": "principal",
            "window_s": 86_400,
            "sum": "/amount_minor",
            "currency": "/currency",
            "maximum": 50_000,
        },
    },
    "exclusive": ["/order_id"],
    "runner": "worker",
    "deadline_s": 10,
    "review": {
        "money": {"/amount_minor": "/currency", "order#/captured_minor": "order#/currency"},
        "beside": {"/order_id": ["order#/customer_id"]},
        "narrowing": {"/amount_minor": "smaller"},
        "preview": {"deadline_s": 2},
    },
}

ARGUMENTS = {"order_id": "O-1001", "amount_minor": 5_500, "currency": "EUR"}
ORDER = {
    "customer_id": "customers/c-204",
    "method": "card ending 0017",
    "currency": "EUR",
    "captured_minor": 12_000,
}


def document(**changes: Any) -> dict[str, Any]:
    """The refund manifest with some of its keys replaced; None takes a key out."""
    changed = {**copy.deepcopy(dict(REFUND)), **changes}
    if changed["runner"] != "worker" or changed["behaviour"].get("read_only"):
        changed["review"] = {k: v for k, v in changed["review"].items() if k != "preview"}
    return {key: value for key, value in changed.items() if value is not None}


def manifest(**changes: Any) -> ToolManifest:
    return parse(document(**changes))


def call(tool: str = "refund", **changes: Any) -> ToolCall:
    arguments = {**ARGUMENTS, **changes}
    return ToolCall(
        tool=tool,
        arguments=arguments,
        canonical=canonical_bytes(arguments),
        digest=call_digest(tool, arguments),
        request_id="r-1",
    )


def principal(subject: str = "customers/c-204") -> Principal:
    return Principal(
        id=subject,
        person=Person(issuer="desk", subject=subject),
        groups=("customers",),
        attributes={"region": "eu"},
    )


def session(who: Principal | None = None) -> Session:
    return Session(
        name="sessions/s-1",
        mandate="mandates/m-1",
        principal=who or principal(),
        agent=Agent(id="agents/support", owner=Person(issuer="desk", subject="owner")),
        context=Context.MEDIATED,
        words=("Please refund order O-1001.",),
        scopes=(),
        opened_at=0.0,
        expires_at=1_000.0,
        idle_expires_at=1_000.0,
        state="OPEN",
        secret_digest=b"",
    )


def caller(who: Principal | None = None) -> Caller:
    return Caller(session=session(who), credential="credentials/a-1")


def holding(*scopes: Scope, name: str = "refunds:write") -> Mapping[str, EffectiveScope]:
    """What is effective where all three hold these; the plain scope if there are none."""
    given = scopes or (Scope(name=name),)
    return effective(principal=given, agent=given, session=given)


def order_fact(**changes: Any) -> dict[str, Fact]:
    return {"order": Fact(name="order", source="shop", value={**ORDER, **changes})}
