"""Getting an approval to cover something that its reviewer was not shown, or twice."""

import asyncio
from pathlib import Path

import pytest

from broker.core.errors import IllegalTransition, NotFound, NotPermitted, StaleEtag
from broker.core.freezes import FreezeKind
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import DropControl
from tests.fakes.decision_point import TERMS, allow, deny, hold, opinion
from tests.world import CUSTOMER, World, reviewer, world

LEAD = reviewer("lead-1", "reviewers")
SECOND = reviewer("lead-2", "reviewers")


async def held(w: World, amount_minor: int = 1_000) -> Hold:
    """A refund that waits for one of the reviewers."""
    w.policy.answer = opinion(allow(), hold("LARGE"))
    invocation = await w.refund(await w.caller(), amount_minor)
    assert invocation.state is InvocationState.HELD
    found = await w.store.find_hold(invocation.hold)
    return found[0]


async def settled(w: World, one: Hold) -> InvocationState:
    """Where the held call is once nothing more happens to it by itself."""
    for _ in range(500):
        invocation = await w.store.find_invocation(one.invocation)
        found = (await w.store.find_hold(one.name))[0]
        decided = found.state not in {HoldState.PENDING, HoldState.APPROVED}
        if decided and invocation.state is not InvocationState.RUNNING:
            return invocation.state
        await asyncio.sleep(0.01)
    raise AssertionError(found.state)


async def state_of(w: World, one: Hold) -> HoldState:
    return (await w.store.find_hold(one.name))[0].state


async def test_an_approved_call_runs_exactly_as_it_was_shown(tmp_path: Path):
    async with world(tmp_path) as w:
        one = await held(w)
        await w.reviews.approve(LEAD, one.name, etag=one.etag, call_digest=one.call_digest)
        assert await settled(w, one) is InvocationState.SUCCEEDED
        assert await state_of(w, one) is HoldState.CLAIMED
        assert w.runner.ran[0].invocation.call.digest == one.call_digest


async def test_an_approval_is_used_once(tmp_path: Path):
    """Take the approved hold up many times at once, and again after it ran."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.runner.free = 0
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        w.runner.free = 100
        await asyncio.gather(
            *(w.resuming._resume(one.name) for _ in range(8)),
            *(w.resuming.take_up(one.name) for _ in range(8)),
        )
        await w.resuming.take_up(one.name)
        assert await settled(w, one) is InvocationState.SUCCEEDED
        assert len(w.runner.ran) == 1


@pytest.mark.parametrize("change", ["facts", "manifest"])
async def test_what_changed_after_the_approval_is_looked_at_again(tmp_path: Path, change: str):
    """Have a refund approved, and change what it was approved on before it is claimed: the order's
    refunds, or the tool itself."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.runner.free = 0
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        if change == "facts":
            w.shop.orders["O-1001"]["refunded_minor"] = 11_000
        else:
            await w.put_tool(summary="Refund {/amount_minor} to somebody else")
        w.runner.free = 100
        await w.resuming.take_up(one.name)
        assert await state_of(w, one) is HoldState.VOID
        invocation = await w.store.find_invocation(one.invocation)
        assert invocation.state is InvocationState.HELD
        assert invocation.hold != one.name
        assert not w.runner.ran


async def test_a_new_reason_to_hold_is_not_covered(tmp_path: Path):
    """Have a refund approved for being large; by the time it runs it is also repeated."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.policy.answer = opinion(hold("LARGE"), hold("REPEATED"))
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        assert await settled(w, one) is InvocationState.HELD
        again = (await w.store.find_hold((await w.store.find_invocation(one.invocation)).hold))[0]
        assert {r.code for r in again.requirements} == {"LARGE", "REPEATED"}
        assert not w.runner.ran


@pytest.mark.parametrize("stop", ["policy", "freeze", "scope"])
async def test_an_approval_overrides_nothing(tmp_path: Path, stop: str):
    """Have a refund approved, and count on the approval when policy, an operator or a revoked
    grant says no."""
    async with world(tmp_path) as w:
        one = await held(w)
        if stop == "policy":
            w.policy.answer = opinion(hold("LARGE"), deny("FORBIDDEN"))
        elif stop == "freeze":
            await w.freeze(FreezeKind.PRINCIPAL, CUSTOMER)
        else:
            grants = [g.name for g in w.room.current().grants if g.subject == "groups/customers"]
            await w.put(*(DropControl(kind="grant", key=name) for name in grants))
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        assert await settled(w, one) is InvocationState.DENIED
        assert await state_of(w, one) is HoldState.VOID
        assert not w.runner.ran


async def test_a_stale_etag_approves_nothing(tmp_path: Path):
    """Show a reviewer one state of the hold and have them approve another."""
    async with world(tmp_path) as w:
        one = await held(w)
        for etag, digest in ((one.etag + 1, ""), (one.etag, "sha256:other")):
            with pytest.raises(StaleEtag):
                await w.reviews.approve(LEAD, one.name, etag=etag, call_digest=digest)
        assert await state_of(w, one) is HoldState.PENDING


async def test_two_reviewers_race_and_one_wins(tmp_path: Path):
    """Approve and reject at the same moment, so that the rejected call runs."""
    async with world(tmp_path) as w:
        one = await held(w)
        results = await asyncio.gather(
            w.reviews.reject(SECOND, one.name, etag=one.etag, reason="No."),
            w.reviews.approve(LEAD, one.name, etag=one.etag),
            return_exceptions=True,
        )
        failed = [r for r in results if isinstance(r, Exception)]
        assert len(failed) == 1
        assert isinstance(failed[0], StaleEtag | IllegalTransition)
        ended = await settled(w, one)
        assert (ended is InvocationState.SUCCEEDED) == (len(w.runner.ran) == 1)
        assert ended in {InvocationState.SUCCEEDED, InvocationState.REJECTED}


@pytest.mark.parametrize(
    "who",
    [
        reviewer("me", "reviewers", person=CUSTOMER),
        reviewer("my-owner", "reviewers", person="agent-owner"),
        reviewer("somebody", "others"),
    ],
)
async def test_the_wrong_person_decides_nothing(tmp_path: Path, who):
    """Approve one's own request, one's own agent's, or one that is for others to decide."""
    async with world(tmp_path) as w:
        one = await held(w)
        with pytest.raises(NotPermitted):
            await w.reviews.approve(who, one.name, etag=one.etag)
        with pytest.raises(NotPermitted):
            await w.reviews.reject(who, one.name, etag=one.etag, reason="No.")
        assert await state_of(w, one) is HoldState.PENDING


async def test_one_person_under_two_names_is_no_quorum(tmp_path: Path):
    """Hold two credentials and approve with both what takes two people."""
    async with world(tmp_path) as w:
        two = TERMS.__class__(
            reviewers=("reviewers",), approvals_required=2, decide_within_s=600, run_within_s=60
        )
        w.policy.answer = opinion(hold("HUGE", two))
        invocation = await w.refund(await w.caller())
        one = (await w.store.find_hold(invocation.hold))[0]
        view = await w.reviews.approve(LEAD, one.name, etag=one.etag)
        alias = reviewer("another-name", "reviewers", person="lead-1")
        with pytest.raises(IllegalTransition, match="one Person counts once"):
            await w.reviews.approve(alias, one.name, etag=view.hold.etag)
        assert await state_of(w, one) is HoldState.PENDING
        await w.reviews.approve(SECOND, one.name, etag=view.hold.etag)
        assert await settled(w, one) is InvocationState.SUCCEEDED


async def test_an_approval_expires_by_the_brokers_clock(tmp_path: Path):
    """Have it approved while no worker is there, and bring the worker back a day later."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.runner.free = 0
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        w.clock.advance(TERMS.run_within_s)
        w.runner.free = 100
        await w.resuming.take_up(one.name)
        assert not w.runner.ran
        await w.recovery.sweep_once()
        assert await settled(w, one) is InvocationState.EXPIRED


async def test_a_hold_that_nobody_decides_expires_and_cannot_be_approved(tmp_path: Path):
    """Approve a moment too late."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.clock.advance(TERMS.decide_within_s)
        with pytest.raises(IllegalTransition):
            await w.reviews.approve(LEAD, one.name, etag=one.etag)
        await w.recovery.sweep_once()
        assert await settled(w, one) is InvocationState.EXPIRED


async def test_an_agent_takes_its_held_call_back_and_nobody_can_approve_it_then(tmp_path: Path):
    async with world(tmp_path) as w:
        one = await held(w)
        cancelled = await w.invocations.cancel(w.agent, one.invocation)
        assert cancelled.state is InvocationState.CANCELLED
        with pytest.raises(IllegalTransition):
            await w.reviews.approve(LEAD, one.name, etag=one.etag)
        again = await w.invocations.cancel(w.agent, one.invocation)
        assert again == cancelled


async def test_a_rejection_reaches_the_model_in_the_reviewers_words(tmp_path: Path):
    async with world(tmp_path) as w:
        one = await held(w)
        await w.reviews.reject(LEAD, one.name, etag=one.etag, reason="Ask for the photo first.")
        invocation = await w.invocations.find(w.agent, one.invocation)
        assert invocation.state is InvocationState.REJECTED
        assert invocation.message == "Ask for the photo first."


async def test_a_hold_that_is_not_there_is_not_found(tmp_path: Path):
    async with world(tmp_path) as w:
        with pytest.raises(NotFound):
            await w.reviews.approve(LEAD, "holds/none", etag=1)


async def test_a_step_up_hold_cannot_be_approved_with_a_token(tmp_path: Path):
    """Approve with a stolen token what policy wants a fresh sign-in for."""
    async with world(tmp_path) as w:
        fresh = TERMS.__class__(
            reviewers=("reviewers",), decide_within_s=600, run_within_s=60, step_up=True
        )
        w.policy.answer = opinion(hold("HIGH", fresh))
        invocation = await w.refund(await w.caller())
        one = (await w.store.find_hold(invocation.hold))[0]
        with pytest.raises(NotPermitted, match="fresh sign-in"):
            await w.reviews.approve(LEAD, one.name, etag=one.etag)
