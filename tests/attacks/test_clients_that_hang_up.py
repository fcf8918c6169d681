"""A client that goes away at any moment leaves every outcome recorded."""

import asyncio
from pathlib import Path

import pytest

from broker.core.lifecycle import InvocationState
from tests.world import world


@pytest.mark.parametrize("turns", [*range(0, 40, 1)])
async def test_hanging_up_at_any_await_loses_no_outcome(tmp_path: Path, turns: int):
    """Let the deadline pass after the refund was paid and before it was recorded, so that it can
    be asked for again: cancel the call at each of its awaits in turn."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        task = asyncio.ensure_future(w.refund(caller, request_id="r"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*w.enforcer._tasks)
        recorded = await w.store.find_request(caller.session.name, "r")
        paid = w.shop.orders["O-1001"]["refunded_minor"] - 6_000
        if recorded is None:
            assert paid == 0
        else:
            assert recorded.state is InvocationState.SUCCEEDED
            assert paid == 1_000
        again = await w.refund(caller, request_id="r")
        assert again.state is InvocationState.SUCCEEDED
        assert w.shop.orders["O-1001"]["refunded_minor"] == 7_000
