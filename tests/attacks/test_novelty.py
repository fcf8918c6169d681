"""Attacks on who is new: a stranger is to pass for somebody whom the principal has reached."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Caller, Invocation
from broker.core.credentials import CredentialClass
from broker.core.lifecycle import InvocationState
from broker.core.limits import TARGETS_MAX
from broker.ports import Failed, Lost, NeverStarted, Outcome, Succeeded
from tests.fakes.decision_point import deny, hold, opinion
from tests.world import AGENT, World, credential, world

THIEF = "thief@evil.example"
PAY: dict[str, Any] = {
    "name": "pay",
    "description": "Pays somebody.",
    "summary": "Pay",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"to": {}, "text": {}},
    },
    "behaviour": {"read_only": False, "destructive": False, "open_world": True},
    "targets": ["/to"],
    "payload": ["/text"],
    "scopes": [{"name": "money:pay"}],
    "runner": "worker",
    "deadline_s": 10,
}
READ = {**PAY, "name": "look", "behaviour": {"read_only": True, "open_world": True}}
OPERATOR = credential(CredentialClass.OPERATOR, "operators/kim", person="kim")
EVIDENCE = "The bank says so."


@contextlib.asynccontextmanager
async def bank(path: Path) -> AsyncIterator[World]:
    """A broker with tools that reach anybody."""
    async with world(path) as w:
        w.runner.effect = lambda _: Succeeded(result_json=b'"done"')
        for document in (PAY, {**PAY, "name": "note"}, READ):
            await w.put_tool(document)
        await w.grant("groups/customers", "money:pay")
        await w.grant(AGENT, "money:pay")
        yield w


async def caller(w: World, principal: str = "customers/c-204") -> Caller:
    return await w.caller(principal, scopes=("money:pay",))


async def ask(w: World, by: Caller, tool: str = "pay", **arguments: Any) -> Invocation:
    w.requests += 1
    return await w.enforcer.invoke(
        by,
        request_id=f"n{w.requests}",
        tool=tool,
        arguments_json=json.dumps(arguments or {"to": THIEF}).encode(),
    )


async def reached(w: World, by: Caller, to: Any = THIEF) -> Any:
    """What policy is told of a target: by tool, how often. Asking makes nobody known."""
    before, w.policy.answer = w.policy.answer, opinion(deny())
    await ask(w, by, to=to)
    w.policy.answer = before
    told: Any = w.policy.asked[-1]["reached"]
    return {tool: past["count"] for tool, past in told["/to"].items()}


async def test_who_was_reached_is_known_and_each_time_counts(tmp_path: Path):
    """Nothing is attacked: this is what the tests below rest on."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        assert await reached(w, by) == {}
        await ask(w, by)
        w.clock.advance(60.0)
        await ask(w, await caller(w))
        assert await reached(w, await caller(w)) == {"pay": 2}


@pytest.mark.parametrize("answer", [deny(), hold()])
async def test_asking_makes_nobody_known(tmp_path: Path, answer: Any):
    """Ask again and again for what is denied or held, until it counts as usual."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        w.policy.answer = opinion(answer)
        for _ in range(3):
            await ask(w, by)
        assert await reached(w, by) == {}


@pytest.mark.parametrize(
    "outcome",
    [
        Failed(code="NO_ACCOUNT", message="There is no such account."),
        Lost(why="no answer"),
        NeverStarted(why="stopped"),
    ],
)
async def test_what_did_not_surely_happen_makes_nobody_known(tmp_path: Path, outcome: Outcome):
    """Have a harmless call to me fail, or be lost on its way, and then ask for the real one."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        w.runner.effect = lambda _: outcome
        await ask(w, by)
        assert await reached(w, by) == {}


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_lost_call_counts_as_the_person_who_looked_says(
    tmp_path: Path, *, took_effect: bool
):
    """Have a call be lost, and hope that settling it makes me known either way."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        w.runner.effect = lambda _: Lost(why="no answer")
        lost = await ask(w, by)
        await w.recovery.reconcile(OPERATOR, lost.name, took_effect=took_effect, evidence=EVIDENCE)
        assert await reached(w, by) == ({"pay": 1} if took_effect else {})


async def test_a_lost_call_of_a_tool_that_has_changed_makes_nobody_known(tmp_path: Path):
    """Have a call be lost whose tool then calls another argument its target."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        w.runner.effect = lambda _: Lost(why="no answer")
        lost = await ask(w, by, to="friend@shop.example", text=THIEF)
        await w.put_tool(PAY, targets=["/text"])
        await w.recovery.reconcile(OPERATOR, lost.name, took_effect=True, evidence=EVIDENCE)
        await w.put_tool(PAY)
        assert await reached(w, by) == await reached(w, by, "friend@shop.example") == {}


async def test_a_result_that_is_withheld_was_an_effect_all_the_same(tmp_path: Path):
    async with bank(tmp_path) as w:
        by = await caller(w)
        w.runner.effect = lambda _: Succeeded(result_json=b"no json")
        assert (await ask(w, by)).state is InvocationState.SUCCEEDED
        assert await reached(w, by) == {"pay": 1}


async def test_whom_somebody_else_reached_is_new_to_me(tmp_path: Path):
    """Pay myself from an account of my own, so that the broker knows me when others pay me."""
    async with bank(tmp_path) as w:
        await ask(w, await caller(w, "customers/thief"))
        assert await reached(w, await caller(w)) == {}


async def test_a_harmless_tool_makes_nobody_known_to_another(tmp_path: Path):
    """Have a note written to me, which nobody minds, and then be paid."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        await ask(w, by, "note")
        assert await reached(w, by) == {"note": 1}


async def test_looking_makes_nobody_known(tmp_path: Path):
    """Have me looked up, as often as it takes."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        assert (await ask(w, by, "look")).state is InvocationState.SUCCEEDED
        assert await reached(w, by) == {}


async def test_what_is_carried_makes_nobody_known(tmp_path: Path):
    """Have my address written into the text of a payment to a friend."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        await ask(w, by, to="friend@shop.example", text=THIEF)
        assert await reached(w, by) == {}


@pytest.mark.parametrize(
    "worn",
    [
        "Ann@shop.example",
        "ann@shop.example ",
        "ann%40shop.example",
        "\N{CYRILLIC SMALL LETTER A}nn@shop.example",
        "ann@shop.example\N{ZERO WIDTH SPACE}",
        {"ann@shop.example": 1},
        {"thief@evil.example": "ann@shop.example"},
    ],
)
async def test_whoever_looks_like_somebody_known_is_new(tmp_path: Path, worn: Any):
    """Take a name that is easily taken for one that is known."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        await ask(w, by, to="ann@shop.example")
        w.policy.answer = opinion(deny())
        await ask(w, by, to=worn)
        told: Any = w.policy.asked[-1]["reached"]
        assert [*told.values()] == [{}]


async def test_among_many_nobody_is_known(tmp_path: Path):
    """Hide among so many that looking them up costs too much."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        many = [f"a{n}@shop.example" for n in range(TARGETS_MAX)]
        await ask(w, by, to=[*many, THIEF])
        assert w.policy.asked[-1]["reached"] == {}
        assert await reached(w, by) == {}


async def test_of_calls_at_once_none_makes_the_others_known(tmp_path: Path):
    """Ask for many at the same time, so that one counts before the others are decided."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        w.runner.going.clear()
        asked = [asyncio.create_task(ask(w, by)) for _ in range(5)]
        async with asyncio.timeout(10):
            while len(w.policy.asked) < len(asked):
                await asyncio.sleep(0.01)
        assert [one["reached"] for one in w.policy.asked] == [{"/to": {}}] * len(asked)
        w.runner.going.set()
        await asyncio.gather(*asked)
        assert await reached(w, by) == {"pay": len(asked)}


async def test_nobody_is_known_before_it_is_recorded_that_the_call_took_effect(tmp_path: Path):
    """Have the store fail after the effect, so that the one is written without the other."""
    async with bank(tmp_path) as w:
        by = await caller(w)
        commit, units = w.store.commit, []

        async def watched(unit: Any) -> None:
            units.append({type(change).__name__ for change in unit.changes})
            await commit(unit)

        w.store.commit = watched
        await ask(w, by)
        (counting,) = [names for names in units if "CountReached" in names]
        assert "MoveInvocation" in counting
