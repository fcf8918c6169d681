"""A client that goes away at any moment leaves every outcome recorded."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.core.lifecycle import InvocationState
from broker.mediation import mediation
from tests.world import OnePolicy, World, world

# Every await of one call that leaves the enforcer, in order; each has a moment before and after.
AWAITS = (
    "store.find_request",
    "store.keys",
    "store.seen",
    "facts.gather",
    "policy.evaluate",
    "runner.reserve",
    "store.commit",
    "slot.run",
    "store.commit",
)
MOMENTS = 2 * len(AWAITS)


class Watched:
    """Stands before a port and tells of the moment before and after each of its awaits."""

    def __init__(self, port: Any, name: str, tell: Callable[[str], None]) -> None:
        self._port, self._name, self._tell = port, name, tell

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def told(*args: Any, **kwargs: Any) -> Any:
            self._tell(f"{self._name}.{method}")
            answer = await found(*args, **kwargs)
            self._tell(f"{self._name}.{method}")
            return Watched(answer, "slot", self._tell) if method == "reserve" else answer

        return told


def watch(w: World, tell: Callable[[str], None]) -> None:
    """Put a watcher before every port that one call waits for."""
    watched = dataclasses.replace(
        w.parts,
        store=Watched(w.store, "store", tell),
        facts=Watched(w.shop, "facts", tell),
        policies=OnePolicy(Watched(w.policy, "policy", tell)),
        runner=Watched(w.runner, "runner", tell),
    )
    mediating = mediation(watched)
    w.enforcer, w.own = mediating.enforcer, mediating.own


async def test_the_moments_are_all_of_them(tmp_path: Path):
    seen: list[str] = []
    async with world(tmp_path) as w:
        caller = await w.caller()
        watch(w, seen.append)
        await w.refund(caller)
    assert seen[::2] == seen[1::2] == list(AWAITS)


@pytest.mark.parametrize("moment", range(MOMENTS))
async def test_hanging_up_at_any_await_loses_no_outcome(tmp_path: Path, moment: int):
    """Let the deadline pass after the refund was paid and before it was recorded, so that it can
    be asked for again: hang up before and after each thing that the call waits for."""
    moments = 0

    async with world(tmp_path) as w:
        caller = await w.caller()

        def hang_up(_what: str) -> None:
            nonlocal moments
            if moments == moment:
                task.cancel()
            moments += 1

        watch(w, hang_up)
        task = asyncio.ensure_future(w.refund(caller, request_id="r"))
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.gather(*w.own.tasks)
        recorded = await w.store.find_request(caller.session.name, "r")
        assert recorded is not None
        assert recorded.state is InvocationState.SUCCEEDED
        assert w.shop.orders["O-1001"]["refunded_minor"] == 7_000
        again = await w.refund(caller, request_id="r")
        assert again.name == recorded.name
        assert w.shop.orders["O-1001"]["refunded_minor"] == 7_000
