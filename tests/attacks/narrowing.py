"""A call that may be made less, held; and what is written of it."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

from broker.core.decision import HoldTerms
from broker.core.holds import Hold
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.world import REFUND, World, reviewer

LEAD = reviewer("lead-1", "reviewers")
SECOND = reviewer("lead-2", "reviewers")
TWO = HoldTerms(
    reviewers=("reviewers",), approvals_required=2, decide_within_s=14_400, run_within_s=3_600
)
FRESH = HoldTerms(
    reviewers=("reviewers",), decide_within_s=14_400, run_within_s=3_600, step_up=True
)
PROPERTIES: Any = REFUND["arguments"]["properties"]
NARROWABLE: dict[str, Any] = {
    **REFUND,
    "targets": ["/order_id"],
    "arguments": {
        **REFUND["arguments"],
        "properties": {
            **PROPERTIES,
            "tell": {"type": "array", "items": {"type": ["string", "integer", "boolean"]}},
            "deep": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"count": {"type": "integer"}, "name": {"type": "string"}},
            },
        },
    },
    "limits": {
        "refunds": {"per": "principal", "window_s": 86_400, "calls": 50},
        "refunded": {
            "per": "principal",
            "window_s": 86_400,
            "sum": "/amount_minor",
            "currency": "/currency",
            "maximum": 6_000,
        },
    },
    "review": {
        "money": {"/amount_minor": "/currency"},
        "narrowing": {"/amount_minor": "smaller", "/tell": "subset", "/deep/count": "smaller"},
    },
}
ASKED = {
    "order_id": "O-1001",
    "amount_minor": 5_500,
    "currency": "EUR",
    "tell": ["ann", "bob", 1],
    "deep": {"count": 3, "name": "x"},
}
LESS = {"/amount_minor": 4_000}


async def held(w: World, terms: HoldTerms = TERMS, request_id: str = "asked") -> Hold:
    await w.put_tool(NARROWABLE)
    w.policy.answer = opinion(hold("LARGE", terms))
    invocation = await w.enforcer.invoke(
        await w.caller(),
        request_id=request_id,
        tool="refund",
        arguments_json=json.dumps(ASKED).encode(),
    )
    return (await w.store.find_hold(invocation.hold))[0]


async def now(w: World, one: Hold) -> Hold:
    return (await w.store.find_hold(one.name))[0]


async def less_of(w: World, one: Hold, **changes: Any) -> Hold:
    given = {"reviewer": LEAD, "etag": one.etag, "changes": LESS, **changes}
    return (await w.handling.narrow(given.pop("reviewer"), one.name, **given)).hold


async def quiet(w: World) -> None:
    """Return once nothing is under way."""
    while w.own.tasks:
        await asyncio.gather(*w.own.tasks, return_exceptions=True)


def written(path: Path) -> list[str]:
    """All rows of all tables."""
    with sqlite3.connect(path / "broker.db") as database:
        lines = list(database.iterdump())
    database.close()
    return lines
