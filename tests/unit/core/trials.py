"""Tools, verdicts and observations for whatever tries rules out."""

from typing import Any

from broker.core.decision import Effect, HoldTerms, Verdict
from broker.core.manifest import ToolManifest, parse
from broker.core.observing import Observation
from tests.world import REFUND

NOW = 1_800_000_000.0
TERMS = HoldTerms(reviewers=("leads",), decide_within_s=600, run_within_s=300)

NOTE: dict[str, Any] = {
    "name": "note",
    "description": "Write a note on an order.",
    "summary": "Note on {/order_id}",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "required": ["order_id"],
        "properties": {"order_id": {"type": "string", "maxLength": 100}},
    },
    "scopes": [{"name": "refunds:write"}],
    "runner": "worker",
}


def note(
    *, destructive: bool = False, open_world: bool = False, with_facts: bool = False, **given: Any
) -> dict[str, Any]:
    """The manifest of a tool that writes, and can be observed unless it is told otherwise."""
    behaviour = {
        "read_only": False,
        "destructive": destructive,
        "idempotent": True,
        "open_world": open_world,
    }
    order = {**REFUND["facts"]["order"], "parameters": {"id": "/order_id"}}
    return {
        **NOTE,
        "behaviour": behaviour,
        **({"facts": {"order": order}} if with_facts else {}),
        **given,
    }


def tool(**given: Any) -> ToolManifest:
    return parse(note(**given))


def verdict(effect: Effect, **given: Any) -> Verdict:
    fields: dict[str, Any] = {
        "effect": effect,
        "stage": "policy",
        "code": "SAID",
        "message": "It was said.",
        "family": "f",
        "terms": TERMS if effect is Effect.HOLD else None,
    }
    return Verdict(**{**fields, **given})


def observation(**given: Any) -> Observation:
    fields: dict[str, Any] = {
        "name": "observations/1",
        "family": "f",
        "agent": "",
        "reason": "to see what it would hold",
        "observed_by": "operator-1",
        "created_at": NOW - 60,
        "expires_at": NOW + 60,
    }
    return Observation(**{**fields, **given})
