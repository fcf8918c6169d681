"""A reviewer is answered as soon as it is known what came of their approval."""

import asyncio

from broker.core.lifecycle import HoldState
from broker.reviews.deciding import TAKE_UP_WAIT_S
from tests.fakes.decision_point import hold, opinion
from tests.world import reviewer, world


async def test_a_reviewer_does_not_wait_for_a_call_that_has_to_wait(tmp_path):
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        held = await w.refund(await w.caller())
        (one, _) = await w.store.find_hold(held.hold)
        w.runner.free = 0
        async with asyncio.timeout(TAKE_UP_WAIT_S):
            shown = await w.reviews.approve(reviewer("r", "reviewers"), one.name, etag=one.etag)
        assert shown.hold.state is HoldState.APPROVED
