"""What a no is remembered by is made of a call's texts, undone: many of them are slow to undo."""

import asyncio
import itertools
import json
from pathlib import Path

import pytest

from broker.core.calls import Invocation
from broker.core.lifecycle import InvocationState
from tests.fakes.decision_point import hold, opinion
from tests.strangers import office
from tests.world import World, reviewer

SLOW = "%2541&amp;\\u0041 QUFBQUFBQUFBQUFB 414141414141 xn--bb. at "
TEXTS = [f"{(SLOW * 40)[:1_990]}{number}" for number in range(150)]
"""Each a few hundredths of a second, all together some seconds of a processor."""
STOPPED_S = 1.5
WITHIN_S = 60.0


async def longest_stop_s(asked: "asyncio.Task[Invocation]") -> float:
    """For how long the loop did nothing else at once while a call was decided."""
    loop, longest = asyncio.get_running_loop(), 0.0
    async with asyncio.timeout(WITHIN_S):
        while not asked.done():
            before = loop.time()
            await asyncio.sleep(0.01)
            longest = max(longest, loop.time() - before)
    return longest


@pytest.mark.parametrize("when", ["once it waits", "once it was rejected"])
async def test_what_is_slow_to_remember_leaves_the_loop_to_others(tmp_path: Path, when: str):
    """Have a call held that is many texts, each encoded in whatever way there is; or have
    that rejected, and ask again and again: each time the broker does nothing else for seconds."""
    async with office(tmp_path) as w:
        w.policy.answer = opinion(hold())
        caller, ids = await w.caller(), itertools.count()

        def ask(*texts: str) -> "asyncio.Task[Invocation]":
            given = json.dumps({"parts": [*texts]}).encode()
            invoke = w.enforcer.invoke(
                caller, request_id=f"m{next(ids)}", tool="echo", arguments_json=given
            )
            return asyncio.create_task(invoke)

        wanted = InvocationState.HELD
        if when == "once it was rejected":
            await _rejected(w, await ask("pay", *TEXTS[:1]))
            wanted = InvocationState.DENIED
        asked = ask("pay", *TEXTS)
        assert await longest_stop_s(asked) < STOPPED_S
        assert (await asked).state is wanted


async def _rejected(w: World, held: Invocation) -> None:
    found = await w.store.find_hold(held.hold)
    assert found is not None
    await w.reviews.reject(
        reviewer("lea", "reviewers"), held.hold, etag=found[0].etag, reason="No."
    )
