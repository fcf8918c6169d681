"""Attacks by waiting: whoever waits for people does nothing, and is to cost nothing either."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Invocation
from broker.core.lifecycle import InvocationState
from broker.invocations import LOOKS_PER_S
from broker.ports import Store
from tests.fakes.decision_point import hold, opinion
from tests.world import REFUND, World, world

MANY = 6 * LOOKS_PER_S
LONG_S = 60.0
WITHIN_S = 10.0


class Read:
    """Passes all on to a store, and counts how often an invocation is read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.times = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def find_invocation(self, name: str) -> Invocation | None:
        self.times += 1
        return await self._store.find_invocation(name)


async def held(w: World) -> Invocation:
    await w.put_tool(REFUND)
    w.policy.answer = opinion(hold())
    return await w.refund(await w.caller())


@pytest.mark.parametrize("how", ["by repeating the call", "by watching it"])
async def test_many_who_wait_for_one_hold_cost_no_more_than_some(tmp_path: Path, how: str):
    """Have one call held, and ask for it again and again, on as many connections as I like, each
    time to wait for people: each of these looks every second whether somebody has decided."""
    async with world(tmp_path) as w:
        store = Read(w.store)
        w.use(store=store)
        invocation = await held(w)

        async def watched() -> InvocationState:
            seen = [one.state async for one in w.invocations.watch(w.agent, invocation.name)]
            return seen[-1]

        async def waited() -> InvocationState:
            return (await w.invocations.wait(invocation, wait_s=LONG_S)).state

        wait = watched if how == "by watching it" else waited
        waiting = [asyncio.create_task(wait()) for _ in range(MANY)]
        async with asyncio.timeout(LONG_S):
            while store.times < MANY:  # each looks once, when it comes
                await asyncio.sleep(0.05)
        before, seconds = store.times, 3.0
        await asyncio.sleep(seconds)
        assert store.times - before <= 2 * LOOKS_PER_S * seconds
        # And all of them hear of it as soon as somebody decides.
        async with asyncio.timeout(WITHIN_S):
            await w.invocations.cancel(w.agent, invocation.name)
            assert {*(await asyncio.gather(*waiting))} == {InvocationState.CANCELLED}
