"""Attacks by one agent for many principals, or on many things that are busy: it still has one part.

No test looks at a clock: what floods is held back until the others have been served.
"""

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.core.calls import Caller, Invocation
from broker.core.control_rows import credential_row
from broker.core.credentials import CredentialClass
from broker.core.lifecycle import InvocationState
from broker.enforcer.enforcer import CALLS
from broker.ports import FrozenCall, Outcome, Slot
from tests.world import World, credential, world

FLOOD = "agents/flood"
WITHIN_S = 30.0


async def callers_of_flood(w: World, count: int) -> list[Caller]:
    """Sessions of the agent that floods, each for a principal of its own."""
    mine, w.agent = w.agent, credential(CredentialClass.AGENT, FLOOD, person="somebody")
    await w.put(credential_row(w.agent))
    await w.grant(FLOOD, "refunds:write")
    callers = [await w.caller(f"customers/of-flood-{n}") for n in range(count)]
    w.agent = mine
    return callers


async def call(w: World, by: Caller, order: str) -> Invocation:
    w.requests += 1
    arguments = {"order_id": order, "amount_minor": 1, "currency": "EUR"}
    return await w.enforcer.invoke(
        by,
        request_id=f"m{w.requests}",
        tool="refund",
        arguments_json=json.dumps(arguments).encode(),
    )


async def quiet() -> None:
    for _ in range(400):
        await asyncio.sleep(0)


async def test_an_agent_for_many_principals_has_no_more_places_than_for_one(tmp_path: Path):
    """Open a session for each of ninety-six customers of mine, and have two calls for each stuck in
    a look-up: two places are everybody's least, so that all of them are mine."""
    async with world(tmp_path) as w:
        honest = await w.caller()
        await w.put_tool(limits={}, exclusive=[])
        flood = await callers_of_flood(w, CALLS.most // CALLS.each_min)
        stuck = asyncio.Event()
        gather = w.shop.gather

        async def slow(manifest: Any, *, arguments: Any, principal: Any, session: Any) -> Any:
            if session.agent.id == FLOOD:
                await stuck.wait()
            return await gather(manifest, arguments=arguments, principal=principal, session=session)

        w.shop.gather = slow  # type: ignore[method-assign]
        calls = [
            asyncio.create_task(call(w, each, "O-1002"))
            for each in flood
            for _ in range(CALLS.each_min)
        ]
        while not w.enforcer.places.taken:
            await asyncio.sleep(0.01)
        await quiet()
        try:
            async with asyncio.timeout(WITHIN_S / 3):
                done = [await call(w, honest, "O-1002") for _ in range(3)]
        finally:
            stuck.set()
            await asyncio.gather(*calls)
        assert {one.state for one in done} == {InvocationState.SUCCEEDED}


class Stuck:
    """A runner at which calls of some orders do not end before they are let go."""

    def __init__(self, inner: Any, orders: set[str]) -> None:
        self.inner = inner
        self.orders = orders
        self.let_go = asyncio.Event()
        self.running = 0

    async def reserve(self, manifest: Any, **given: Any) -> "Slot":
        return _StuckSlot(self, await self.inner.reserve(manifest, **given))


@dataclasses.dataclass
class _StuckSlot:
    runner: Stuck
    slot: Slot

    def __getattr__(self, name: str) -> Any:
        return getattr(self.slot, name)

    async def run(self, frozen: FrozenCall) -> Outcome:
        arguments: Mapping[str, Any] = frozen.invocation.call.arguments
        if arguments["order_id"] in self.runner.orders:
            self.runner.running += 1
            await self.runner.let_go.wait()
        return await self.slot.run(frozen)


async def test_calls_that_wait_for_busy_things_keep_no_place(tmp_path: Path):
    """Have slow calls under way on as many orders as I may have calls decided at once, and ask for
    each order again: all my places wait, and my principal's own other calls with them."""
    many = CALLS.alone_max
    async with world(tmp_path) as w:
        await w.put_tool(limits={})
        honest = await w.caller()
        orders = [f"O-5{n:03}" for n in range(many)]
        w.shop.orders |= {order: dict(w.shop.orders["O-1002"]) for order in orders}
        runner = Stuck(w.runner, set(orders))
        w.use(runner=runner, exclusive_wait_s=WITHIN_S)
        begun = [asyncio.create_task(call(w, honest, order)) for order in orders]
        async with asyncio.timeout(WITHIN_S):
            while runner.running < many:
                await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(call(w, honest, order)) for order in orders]
        await quiet()
        try:
            async with asyncio.timeout(WITHIN_S / 3):
                other = await call(w, honest, "O-1002")
                while w.enforcer.places.taken:
                    await asyncio.sleep(0.01)
        finally:
            runner.let_go.set()
            ended = await asyncio.gather(*begun, *waiting)
        assert other.state is InvocationState.SUCCEEDED
        assert {one.state for one in ended} == {InvocationState.SUCCEEDED}


async def test_a_thing_that_stays_busy_is_told_of_in_the_end(tmp_path: Path):
    """Keep an order busy for ever, so that whoever waits for it never hears anything."""
    async with world(tmp_path) as w:
        await w.put_tool(limits={})
        honest = await w.caller()
        runner = Stuck(w.runner, {"O-1002"})
        w.use(runner=runner, exclusive_wait_s=0.3)
        begun = asyncio.create_task(call(w, honest, "O-1002"))
        async with asyncio.timeout(WITHIN_S):
            while not runner.running:
                await asyncio.sleep(0.01)
            refused = await call(w, honest, "O-1002")
        assert (refused.state, refused.code) == (InvocationState.DENIED, "EXCLUSIVE_BUSY")
        runner.let_go.set()
        await begun
