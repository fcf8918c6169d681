"""What reviewers do with a hold short of deciding, each act in the log."""

import pytest

from broker.core.errors import IllegalTransition, MalformedRequest, StaleEtag
from broker.core.lifecycle import HoldState, InvocationState
from broker.reviews import Shown
from broker.reviews.handling import TAKEN_S
from tests.fakes.decision_point import hold, opinion
from tests.world import REFUND, reviewer, world

LEAD = reviewer("lead", "reviewers")
OTHER = reviewer("other", "reviewers")
NARROWABLE = {
    **REFUND,
    "targets": ["/order_id"],
    "review": {**REFUND["review"], "narrowing": {"/amount_minor": "smaller"}},
}


async def waiting(w, **changes):
    w.policy.answer = opinion(hold("LARGE"))
    held = await w.refund(await w.caller(), **changes)
    found = await w.store.find_hold(held.hold)
    return found[0]


async def test_what_somebody_has_taken_is_approved_by_nobody_else_until_it_lapses(tmp_path):
    async with world(tmp_path) as w:
        one = await waiting(w)
        taken = (await w.handling.take(LEAD, one.name)).hold
        with pytest.raises(IllegalTransition, match="lead has taken"):
            await w.reviews.approve(OTHER, one.name, etag=taken.etag)
        w.clock.advance(TAKEN_S)
        shown = await w.reviews.approve(OTHER, one.name, etag=taken.etag)
        assert shown.hold.state is not HoldState.PENDING


async def test_an_approval_is_taken_back_before_it_runs_and_nothing_ran(tmp_path):
    async with world(tmp_path) as w:
        one = await waiting(w)
        approved = await w.reviews.approve(LEAD, one.name, etag=one.etag, take_back_s=10)
        assert approved.hold.state is HoldState.APPROVED
        await w.resuming.take_up(one.name)
        assert w.runner.ran == []
        again = await w.reviews.take_back(LEAD, one.name, etag=approved.hold.etag)
        assert again.hold.state is HoldState.PENDING
        assert [r.counted for r in again.reviews] == [False]
        w.clock.advance(11)
        await w.recovery.sweep_once()
        assert w.runner.ran == []
        yes = await w.reviews.approve(LEAD, one.name, etag=again.hold.etag)
        assert yes.hold.state is HoldState.CLAIMED


async def test_a_narrowed_call_waits_anew_and_runs_as_less(tmp_path):
    async with world(tmp_path) as w:
        await w.put_tool(NARROWABLE)
        one = await waiting(w, amount_minor=5_500)
        less = await w.handling.narrow(
            LEAD, one.name, etag=one.etag, changes={"/amount_minor": 4_000}
        )
        assert less.hold.narrows == one.name
        assert less.hold.call_digest != one.call_digest
        assert {r.code for r in less.hold.requirements} == {"LARGE", "NARROWED"}
        with pytest.raises(IllegalTransition):
            await w.reviews.approve(LEAD, one.name, etag=one.etag + 1)
        await w.reviews.approve(LEAD, less.hold.name, etag=less.hold.etag)
        await w.own.drain(within_s=5.0)
        ran = await w.store.find_invocation(one.invocation)
        assert ran.state is InvocationState.SUCCEEDED
        assert ran.call.arguments["amount_minor"] == 4_000
        assert ran.asked.arguments["amount_minor"] == 5_500


@pytest.mark.parametrize(
    "changes",
    [
        {"/amount_minor": 5_501},
        {"/amount_minor": 5_500},
        {"/amount_minor": -1},
        {"/amount_minor": True},
        {"/amount_minor": "1"},
        {"/order_id": "O-1002"},
        {"": {}},
        {},
    ],
)
async def test_what_is_not_less_is_refused(tmp_path, changes):
    async with world(tmp_path) as w:
        await w.put_tool(NARROWABLE)
        one = await waiting(w, amount_minor=5_500)
        with pytest.raises(MalformedRequest):
            await w.handling.narrow(LEAD, one.name, etag=one.etag, changes=changes)


async def test_a_narrowed_call_that_the_schema_refuses_stays_as_it_was(tmp_path):
    async with world(tmp_path) as w:
        await w.put_tool(NARROWABLE)
        one = await waiting(w, amount_minor=5_500)
        with pytest.raises(IllegalTransition):
            await w.handling.narrow(LEAD, one.name, etag=one.etag, changes={"/amount_minor": 0})
        assert (await w.store.find_hold(one.name))[0] == one


async def test_a_second_reviewer_is_needed_once_one_was_asked_for(tmp_path):
    async with world(tmp_path) as w:
        one = await waiting(w)
        asked = (await w.handling.ask_second(LEAD, one.name, etag=one.etag)).hold
        first = await w.reviews.approve(LEAD, one.name, etag=asked.etag)
        assert first.hold.state is HoldState.PENDING
        both = await w.reviews.approve(OTHER, one.name, etag=first.hold.etag)
        assert both.hold.state is HoldState.CLAIMED


async def test_alike_holds_are_approved_together_and_others_are_not(tmp_path):
    async with world(tmp_path) as w:
        await w.put_tool(NARROWABLE)
        first = await waiting(w, amount_minor=2)
        second = await waiting(w, amount_minor=1)
        assert first.alike == second.alike != ""
        shown = [
            Shown(name=h.name, etag=h.etag, call_digest=h.call_digest) for h in (first, second)
        ]
        other = await waiting(w, order_id="O-1002")
        with pytest.raises(MalformedRequest, match="not alike"):
            await w.together.approve(LEAD, [*shown, _shown(other)])
        assert w.runner.ran == []
        left = await w.together.approve(LEAD, shown)
        assert left == ()


async def test_a_stale_tab_narrows_nothing(tmp_path):
    async with world(tmp_path) as w:
        await w.put_tool(NARROWABLE)
        one = await waiting(w)
        await w.handling.take(LEAD, one.name)
        with pytest.raises(StaleEtag):
            await w.handling.narrow(LEAD, one.name, etag=one.etag, changes={"/amount_minor": 1})


def _shown(one):
    return Shown(name=one.name, etag=one.etag, call_digest=one.call_digest)
