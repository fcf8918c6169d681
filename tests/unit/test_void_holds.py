"""Whoever decides on a hold that another has replaced is told which one."""

import pytest

from broker.core.errors import IllegalTransition
from tests.fakes.decision_point import hold, opinion
from tests.world import REFUND, reviewer, world

LEAD = reviewer("lead", "reviewers")
OTHER = reviewer("other", "reviewers")
NARROWABLE = {
    **REFUND,
    "targets": ["/order_id"],
    "review": {**REFUND["review"], "narrowing": {"/amount_minor": "smaller"}},
}


async def test_a_hold_that_was_made_less_names_the_one_in_its_place(tmp_path):
    async with world(tmp_path) as w:
        await w.put_tool(NARROWABLE)
        w.policy.answer = opinion(hold("LARGE"))
        one, _ = await w.store.find_hold(
            (await w.refund(await w.caller(), amount_minor=5_500)).hold
        )
        less = await w.handling.narrow(
            LEAD, one.name, etag=one.etag, changes={"/amount_minor": 1_000}
        )
        told = f"The hold is VOID already. {less.hold.name} took its place."
        with pytest.raises(IllegalTransition, match=told):
            await w.reviews.approve(LEAD, one.name, etag=one.etag)
        with pytest.raises(IllegalTransition, match=told):
            await w.reviews.reject(OTHER, one.name, etag=one.etag, reason="No.")
        with pytest.raises(IllegalTransition, match=told):
            await w.handling.narrow(LEAD, one.name, etag=one.etag, changes={"/amount_minor": 1})


async def test_a_hold_that_was_decided_names_none(tmp_path):
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        one, _ = await w.store.find_hold((await w.refund(await w.caller())).hold)
        await w.reviews.reject(LEAD, one.name, etag=one.etag, reason="No.")
        with pytest.raises(IllegalTransition, match=r"^The hold is REJECTED already\.$"):
            await w.reviews.approve(OTHER, one.name, etag=one.etag)
