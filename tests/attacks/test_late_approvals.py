"""Approvals that come too late, meet a part that is away, or were given for something else."""

import asyncio
from pathlib import Path

import pytest

from broker.core import limits
from broker.core.calls import Fact
from broker.core.errors import (
    IllegalTransition,
    MalformedRequest,
    PolicyUnavailable,
    RunnerUnavailable,
)
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import DropControl
from tests.fakes.decision_point import TERMS, allow, hold, opinion
from tests.fakes.faulty_store import FaultyStore
from tests.world import REFUND, World, reviewer, world

LEAD = reviewer("lead-1", "reviewers")
SECOND = reviewer("lead-2", "reviewers")


async def held(w: World, terms=TERMS) -> Hold:
    w.policy.answer = opinion(hold("LARGE", terms))
    invocation = await w.refund(await w.caller())
    return (await w.store.find_hold(invocation.hold))[0]


async def state_of(w: World, one: Hold) -> HoldState:
    return (await w.store.find_hold(one.name))[0].state


async def quiet(w: World) -> None:
    """Return once nothing is under way."""
    while w.own.tasks:
        await asyncio.gather(*w.own.tasks, return_exceptions=True)


async def test_an_approval_whose_time_ends_while_it_is_decided_is_not_claimed(tmp_path: Path):
    """Make policy, keys or workers slow, so that an approval is used when it is long over."""
    async with world(tmp_path) as w:
        one = await held(w)
        reserve = w.runner.reserve

        async def slow(manifest, **asked):
            slot = await reserve(manifest, **asked)
            w.clock.advance(TERMS.run_within_s)
            return slot

        w.runner.reserve = slow
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        await quiet(w)
        assert not w.runner.ran
        assert w.runner.free == 100
        await w.recovery.sweep_once()
        assert await state_of(w, one) is HoldState.EXPIRED


async def test_a_right_that_is_taken_while_the_approved_call_is_decided_stops_it(tmp_path: Path):
    """Lose the scope between the last look at what is in force and the claim."""
    async with world(tmp_path) as w:
        one = await held(w)
        evaluate = w.policy.evaluate

        async def revoke_first(question, *, deadline_s):
            grants = [g.name for g in w.room.current().grants if g.subject == "groups/customers"]
            await w.put(*(DropControl(kind="grant", key=name) for name in grants))
            return await evaluate(question, deadline_s=deadline_s)

        w.policy.evaluate = revoke_first
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        await quiet(w)
        assert await state_of(w, one) is HoldState.VOID
        invocation = await w.store.find_invocation(one.invocation)
        assert (invocation.state, invocation.code) == (
            InvocationState.DENIED,
            "TOOL_UNAVAILABLE",
        )
        assert not w.runner.ran


async def test_what_nobody_has_approved_is_not_taken_up(tmp_path: Path):
    """Have a hold taken up that waits still, or that was rejected."""
    async with world(tmp_path) as w:
        one = await held(w)
        await w.resuming.take_up(one.name)
        assert await state_of(w, one) is HoldState.PENDING
        await w.reviews.reject(LEAD, one.name, etag=one.etag, reason="No.")
        await w.resuming.take_up(one.name)
        assert await state_of(w, one) is HoldState.REJECTED
        assert not w.runner.ran


async def test_an_approval_waits_while_policy_is_away(tmp_path: Path):
    """Take policy away at the claim, so that the approval is spent, or counts without it."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.policy.away = True
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        with pytest.raises(PolicyUnavailable):
            await w.resuming.take_up(one.name)
        await w.recovery.sweep_once()
        await quiet(w)
        assert await state_of(w, one) is HoldState.APPROVED
        assert not w.runner.ran
        w.policy.away = False
        await w.recovery.sweep_once()
        await quiet(w)
        assert await state_of(w, one) is HoldState.CLAIMED
        assert len(w.runner.ran) == 1


async def test_an_approval_is_not_spent_on_a_key_that_is_busy(tmp_path: Path):
    """Keep another refund of the order running while the approved one is taken up, so that what
    people said yes to is thrown away."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.policy.answer = opinion(allow())
        w.runner.going.clear()
        other = asyncio.ensure_future(w.refund(await w.caller()))
        while not w.recovery.carrier.carrying:
            await asyncio.sleep(0.01)
        w.policy.answer = opinion(hold("LARGE"))
        w.use(exclusive_wait_s=0.05)
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        while w.resuming._resuming:
            await asyncio.sleep(0.01)
        assert await state_of(w, one) is HoldState.APPROVED
        w.runner.going.set()
        await other
        w.shop.orders["O-1001"]["refunded_minor"] = 6_000  # what reviewers were shown
        await w.resuming.take_up(one.name)
        assert await state_of(w, one) is HoldState.CLAIMED


async def test_a_hold_withdrawn_while_it_is_claimed_does_not_run(tmp_path: Path):
    """Take the call back at the very moment of its claim, and have it run all the same."""
    async with world(tmp_path) as w:
        one = await held(w)
        store = FaultyStore(w.store)
        w.use(store=store)

        async def cancel_first(unit):
            if any(entry.kind == "call.decided" for entry in unit.entries):
                store.before = None
                await w.invocations.cancel(w.agent, one.invocation)

        store.before = cancel_first
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        await quiet(w)
        assert await state_of(w, one) is HoldState.WITHDRAWN
        assert not w.runner.ran
        assert w.runner.free == 100


async def test_a_review_that_comes_too_late_is_kept_once_and_changes_nothing(tmp_path: Path):
    """Reject what has run, so that the log says it was rejected; or say so a thousand times."""
    async with world(tmp_path) as w:
        one = await held(w)
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        await quiet(w)
        for _ in range(3):
            with pytest.raises(IllegalTransition, match="CLAIMED"):
                await w.reviews.reject(SECOND, one.name, etag=one.etag, reason="I say no.")
        found, reviews = await w.store.find_hold(one.name)
        assert found.state is HoldState.CLAIMED
        assert [(r.reviewer.name, r.counted) for r in reviews] == [
            ("lead-1", True),
            ("lead-2", False),
        ]
        invocation = await w.store.find_invocation(one.invocation)
        assert invocation.state is InvocationState.SUCCEEDED


@pytest.mark.parametrize("seconds", [10**9, 10**400], ids=["decades", "no float"])
async def test_a_rule_cannot_have_a_hold_wait_for_ever(tmp_path: Path, seconds: int):
    """Have a rule ask for so long a time that no clock can say it, and break all lists of holds."""
    async with world(tmp_path) as w:
        endless = TERMS.__class__(
            reviewers=("reviewers",), decide_within_s=seconds, run_within_s=seconds
        )
        one = await held(w, endless)
        assert one.decide_by <= w.clock() + limits.SESSION_LIFE_S_MAX
        w.runner.free = 0
        view = await w.reviews.approve(LEAD, one.name, etag=one.etag)
        assert view.hold.run_by <= w.clock() + limits.SESSION_LIFE_S_MAX


async def test_hanging_up_after_approving_does_not_stop_what_was_approved(tmp_path: Path):
    """Have the reviewer's connection cut at the moment of the vote, so that nobody hears of it."""
    async with world(tmp_path) as w:
        one = await held(w)
        store = FaultyStore(w.store)
        w.use(store=store)
        told = []

        async def hang_up(unit):
            if any(entry.kind == "review.given" for entry in unit.entries):
                approving.cancel()

        async def follow():
            async for view in w.views.watch(LEAD):
                told.append(view.hold.state)  # noqa: PERF401 - while it goes on

        following = asyncio.ensure_future(follow())
        await asyncio.sleep(0)
        store.before = hang_up
        approving = asyncio.ensure_future(w.reviews.approve(LEAD, one.name, etag=one.etag))
        await asyncio.gather(approving, return_exceptions=True)
        assert approving.cancelled()
        await quiet(w)
        async with asyncio.timeout(5):
            while HoldState.CLAIMED not in told:
                await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert len(w.runner.ran) == 1


async def test_hanging_up_after_rejecting_does_not_stop_the_rejection(tmp_path: Path):
    """Cut the connection while a rejection is recorded, so that those who wait hear nothing."""
    async with world(tmp_path) as w:
        one = await held(w)
        store = FaultyStore(w.store)
        w.use(store=store)

        async def hang_up(_unit):
            rejecting.cancel()
            await asyncio.sleep(0)

        store.before = hang_up
        rejecting = asyncio.ensure_future(
            w.reviews.reject(LEAD, one.name, etag=one.etag, reason="No.")
        )
        with w.events.subscribe("invocation", one.invocation) as changes:
            await asyncio.gather(rejecting, return_exceptions=True)
            assert rejecting.cancelled()
            assert await changes.next(5.0) == one.invocation
        assert await state_of(w, one) is HoldState.REJECTED


@pytest.mark.parametrize("reason", ["", " \n", "x" * 1_001])
async def test_a_rejection_says_why_and_is_no_book(tmp_path: Path, reason: str):
    """Reject without a word, so that the model asks again; or with a book that it has to read."""
    async with world(tmp_path) as w:
        one = await held(w)
        with pytest.raises(MalformedRequest):
            await w.reviews.reject(LEAD, one.name, etag=one.etag, reason=reason)
        assert await state_of(w, one) is HoldState.PENDING


async def test_a_rejection_cannot_drive_what_shows_it(tmp_path: Path):
    """Put a terminal's commands into the reason, which the agent's side prints."""
    async with world(tmp_path) as w:
        one = await held(w)
        await w.reviews.reject(LEAD, one.name, etag=one.etag, reason="No.\x1b[2J")
        invocation = await w.store.find_invocation(one.invocation)
        assert invocation.message == "No.\ufffd[2J"


@pytest.mark.parametrize("wait_s", [float("nan"), -1.0, float("-inf"), 0.0])
async def test_an_odd_time_to_wait_for_people_is_none(tmp_path: Path, wait_s: float):
    """Wait for a time that is none, so that nobody knows how long."""
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        async with asyncio.timeout(5):
            held_call = await w.refund(await w.caller(), hold_wait_s=wait_s)
        assert held_call.state is InvocationState.HELD


@pytest.mark.parametrize("wait_s", [61.0, 1e9, float("inf")])
async def test_waiting_for_people_is_bounded(tmp_path: Path, wait_s: float):
    """Keep a connection for as long as a person sleeps."""
    asked = []

    class Impatient:
        async def wait(self, invocation, *, wait_s):
            asked.append(wait_s)
            return invocation

    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        w.enforcer._invocations = Impatient()
        await w.refund(await w.caller(), hold_wait_s=wait_s)
        assert asked == [limits.HOLD_WAIT_S_MAX]


async def test_another_revisions_manifest_does_not_explain_a_hold(tmp_path: Path):
    """Change the manifest while a call waits, so that 1000 cents are shown as something else."""
    async with world(tmp_path) as w:
        await w.put_tool(review={})
        one = await held(w)
        await w.put_tool(review={"money": {"/amount_minor": "/currency"}})
        view = await w.views.show(LEAD, one.name)
        (shown,) = (a for a in view.arguments if a.pointer == "/amount_minor")
        assert (shown.value_json, shown.rendered) == ("1000", "")
        again = await held(w)
        view = await w.views.show(LEAD, again.name)
        (shown,) = (a for a in view.arguments if a.pointer == "/amount_minor")
        assert (shown.value_json, shown.rendered) == ("1000", "EUR 10.00")


async def test_a_reviewer_sees_that_something_was_not_found(tmp_path: Path):
    """Have a row deleted, and shown as an empty one."""
    async with world(tmp_path) as w:
        await w.put_tool(
            facts={"order": {**REFUND["facts"]["order"], "absent": "HOLD"}},
            scopes=[{"name": "refunds:write"}],
            review={"beside": {"/order_id": ["order#/customer_id"]}},
        )
        invocation = await w.refund(await w.caller(), order_id="O-9999")
        assert invocation.state is InvocationState.HELD
        view = await w.views.show(LEAD, invocation.hold)
        (looked_up,) = (one for a in view.arguments for one in a.looked_up)
        assert (looked_up.value_json, looked_up.rendered) == ("", "(not found)")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", 2**60])
async def test_a_fact_that_nobody_can_be_shown_exactly_is_a_failure(tmp_path: Path, value):
    """Bring a value into a system of record that has no canonical form, and with it the broker to
    an error for every call that looks it up."""

    class Odd:
        async def gather(self, *_, **__):
            return {"order": Fact(name="order", source="shop", value={"customer_id": value})}

    async with world(tmp_path) as w:
        await w.put_tool(scopes=[{"name": "refunds:write"}])
        w.use(facts=Odd())
        w.policy.answer = opinion(hold("LARGE"))
        assert (await w.refund(await w.caller())).state is InvocationState.HELD
        assert w.policy.asked[-1]["facts"]["order"] == {
            "source": "shop",
            "error": "SHAPE_INVALID",
        }


async def test_an_approval_given_while_the_broker_stops_is_kept_for_the_next_one(tmp_path: Path):
    """Approve while the broker stops, so that the call is begun and cut off."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.runner.free = 0
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        await quiet(w)
        w.runner.free = 100
        await w.own.drain(within_s=1.0)
        w.resuming.take_up_soon(one.name)
        with pytest.raises(RunnerUnavailable):
            await w.resuming.take_up(one.name)
        assert not w.own.tasks
        assert await state_of(w, one) is HoldState.APPROVED
        assert not w.runner.ran
