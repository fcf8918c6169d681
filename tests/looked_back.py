"""Pages over a broker where things have happened, and how tests read them."""

import contextlib
import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import Any

from broker.core.calls import Invocation
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import AddHold, AddInvocation, AddReview, Unit
from tests.pages import Site
from tests.store_values import hold as stored_hold
from tests.store_values import invocation as stored_call
from tests.store_values import review as stored_review

HOSTILE = "<script>alert(1)</script>\u202e\u200b\"'&{{7*7}}"
LISTS = ("/history", "/sessions", "/agents", "/policy", "/audit", "/quality")


class Explainer:
    """Says what it is told to; implements `ports.Explainer`."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def explain(self, kept: bytes, question: Any, *, revision: str, money: Any) -> Any:
        del kept, question, money
        self.asked += 1
        if self.error is not None:
            raise self.error
        place = {"file": "broker/rules/test/test.rego", "line": 31}
        spoken = {
            "family": "test",
            "effect": "HOLD",
            "code": "LARGE",
            "message": "m",
            "place": place,
            "conditions": [{**place, "source": "s", "values": "55.00 > 50.00", "held": True}],
        }
        change = {
            "pointer": "/call/arguments/amount_minor",
            "value": 1,
            "otherwise": False,
            "lowest": None,
            "highest": 5_000,
        }
        return {
            "policy_revision": revision,
            "effect": "HOLD",
            "spoken": [spoken],
            "silent": ["hours"],
            "allowed_if": [{"changes": [change], "effect": "ALLOW"}],
            "removals": [],
            "scales": [],
            "problem": "",
            "money": {"/call/arguments/amount_minor": "EUR"},
            "passed": [],
        }


async def read(s: Site, path: str, **query: str) -> str:
    """A page as a reviewer gets it."""
    async with await s.signed_in() as browser:
        answer = await browser.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.text


def story_of(call: Invocation) -> str:
    return f"/{call.name}"


async def refunded(s: Site, words: tuple[str, ...] = ("Please.",), **arguments: Any) -> Invocation:
    """A call of an agent that says what it likes."""
    caller = await s.world.caller(words=words)
    given = {"order_id": "O-1001", "amount_minor": 1_000, "currency": "EUR", **arguments}
    s.world.requests += 1
    return await s.world.enforcer.invoke(
        caller,
        request_id=f"r{s.world.requests}",
        tool="refund",
        arguments_json=json.dumps(given).encode(),
    )


async def decided(
    s: Site, count: int, *, state: HoldState = HoldState.REJECTED, **changed: Any
) -> list[Any]:
    """So many holds that were decided, oldest first."""
    caller = await s.world.caller()
    call = stored_call(caller.session, InvocationState.REJECTED)
    call = dataclasses.replace(call, name=f"invocations/{s.world.ids()}")
    changes: list[Any] = [AddInvocation(invocation=call)]
    made = []
    for number in range(count):
        name = f"holds/{s.world.ids()}"
        one = stored_hold(
            call, name=name, state=state, summary=f"Refund number {number}.", **changed
        )
        changes += [AddHold(hold=one), AddReview(review=stored_review(one, "lead-1"))]
        made.append(one)
    await s.world.store.commit(Unit(changes=tuple(changes), entries=()))
    return made


def erase(path: Path) -> None:
    """What entries commit to goes, as an operator's erasure takes it."""
    with contextlib.closing(sqlite3.connect(path / "broker.db")) as database, database:
        database.execute("DELETE FROM audit_contents")
