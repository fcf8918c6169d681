"""The database fails at the worst moment: nothing runs unrecorded, twice, or under way for ever."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.core.audit import EntryKind
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.limits import OUTCOME_PATIENCE_S
from broker.enforcer.concluding import NEVER_HANDED_OVER
from broker.enforcer.ending import STORE_RETRY_S
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.fakes.faulty_store import Fault, FaultyStore
from tests.world import ONCE, World, reviewer, world


@contextlib.asynccontextmanager
async def quiet_world(tmp_path: Path) -> AsyncGenerator[World]:
    """One of whose log nothing is drawn: that takes seconds in which nothing else goes on."""
    with capture_logs():
        async with world(tmp_path) as w:
            yield w


def faulty(w: World, **parts) -> FaultyStore:
    store = FaultyStore(w.store)
    w.use(store=store, store_retry_s=(0.0, 0.0), **parts)
    return store


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DOUBT])
async def test_a_record_of_unknown_fate_is_never_handed_over(tmp_path: Path, fault: Fault):
    """Let the commit of the decision fail so that nobody knows whether it happened: either the
    refund runs without a record, or its order is blocked by a call that nobody carries."""
    async with world(tmp_path) as w:
        store = faulty(w)
        caller = await w.caller()
        store.faults[EntryKind.CALL_DECIDED] = [fault, None]
        with pytest.raises(StoreUnavailable):
            await w.refund(caller, request_id="r")
        assert not w.runner.ran
        assert w.runner.free == 100
        await w.recovery.sweep_once()
        recorded = await w.store.find_request(caller.session.name, "r")
        if fault is Fault.LOST:
            assert recorded is None
        else:
            assert (recorded.state, recorded.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert (await w.refund(caller)).state is InvocationState.SUCCEEDED


async def test_an_approved_call_of_unknown_record_is_not_handed_over_either(tmp_path: Path):
    """The same when an approval is claimed."""
    async with world(tmp_path) as w:
        store = faulty(w)
        w.policy.answer = opinion(hold("LARGE"))
        invocation = await w.refund(await w.caller())
        one = (await w.store.find_hold(invocation.hold))[0]
        store.faults[EntryKind.CALL_DECIDED] = [Fault.DOUBT, None]
        await w.reviews.approve(reviewer("r", "reviewers"), one.name, etag=one.etag)
        await asyncio.gather(*w.own.tasks)
        await w.recovery.sweep_once()
        ended = await w.store.find_invocation(invocation.name)
        assert (ended.state, ended.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert not w.runner.ran


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DOUBT])
async def test_an_outcome_of_unknown_fate_is_recorded_once(tmp_path: Path, fault: Fault):
    """Let the commit of the outcome fail so that nobody knows whether it happened, and find the
    call under way for ever, or its end in the log twice."""
    async with world(tmp_path) as w:
        store = faulty(w)
        store.faults[EntryKind.CALL_ENDED] = [fault, None]
        done = await w.refund(await w.caller())
        assert done.state is InvocationState.SUCCEEDED
        assert await w.store.find_invocation(done.name) == done
        kinds = [e["kind"] for e in await w.store.entries(done.name)]
        assert kinds.count(EntryKind.CALL_ENDED) == 1
        assert (await w.refund(await w.caller())).state is InvocationState.SUCCEEDED


async def test_an_outcome_that_the_store_does_not_take_for_long_is_not_lost(tmp_path: Path):
    """Keep the disk full until the broker gives up on the answer that it has."""
    async with world(tmp_path) as w:
        store = faulty(w)
        caller = await w.caller()
        store.faults[EntryKind.CALL_ENDED] = [Fault.AWAY]
        with pytest.raises(OutcomeUnstored):
            await w.refund(caller, request_id="r")
        w.clock.advance(3_600)  # past its lease: nobody may call it interrupted, the end is known
        with pytest.raises(StoreUnavailable):
            await w.recovery.sweep_once()
        assert w.runner.acknowledged == 0
        store.faults.clear()
        await w.recovery.sweep_once()
        recorded = await w.store.find_request(caller.session.name, "r")
        assert recorded.state is InvocationState.SUCCEEDED
        assert recorded.result == b'{"refund_id":"r-1"}'
        assert not await w.store.unfinished()


async def test_whoever_asks_again_while_an_outcome_is_not_stored_hears_that_at_once(
    tmp_path: Path,
):
    """Keep the disk full, and have whoever asks again wait for an end that is long there."""
    async with quiet_world(tmp_path) as w:
        store = faulty(w)
        caller = await w.caller()
        store.faults[EntryKind.CALL_ENDED] = [Fault.AWAY]
        w.runner.going.clear()
        first = asyncio.ensure_future(w.refund(caller, request_id="r"))
        async with asyncio.timeout(10.0):
            while not (running := await w.store.unfinished()):
                await asyncio.sleep(0.01)
            waiting = asyncio.ensure_future(w.refund(caller, request_id="r"))
            while ("invocation", running[0].name) not in w.events._subscriptions:
                await asyncio.sleep(0.01)
            w.runner.going.set()
            for asked in (first, waiting, w.refund(caller, request_id="r")):
                with pytest.raises(OutcomeUnstored):
                    await asked
        assert len(w.runner.ran) == 1
        assert w.runner.acknowledged == 0
        store.faults.clear()
        await w.recovery.sweep_once()
        assert (await w.refund(caller, request_id="r")).state is InvocationState.SUCCEEDED
        assert w.runner.acknowledged == 1


async def test_whoever_asks_again_for_what_was_never_handed_over_hears_that_nothing_ran(
    tmp_path: Path,
):
    """Have the commit of the decision be in doubt, and be told that the refund may have run."""
    async with quiet_world(tmp_path) as w:
        store = faulty(w)
        caller = await w.caller()
        store.faults[EntryKind.CALL_DECIDED] = [Fault.DOUBT, None]
        for _ in range(2):
            async with asyncio.timeout(5.0):
                with pytest.raises(StoreUnavailable):
                    await w.refund(caller, request_id="r")
        await w.recovery.sweep_once()
        again = await w.refund(caller, request_id="r")
        assert (again.state, again.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert not w.runner.ran


async def test_whoever_waits_is_not_kept_by_a_store_that_stays_away(tmp_path: Path):
    """Keep the store away, so that whoever asked is answered long after it has given up."""
    async with quiet_world(tmp_path) as w:
        store = faulty(w)
        caller = await w.caller()
        w.runner.going.clear()
        asked = asyncio.ensure_future(w.refund(caller))
        while not (running := await w.store.unfinished()):
            await asyncio.sleep(0.01)
        store.faults[EntryKind.CALL_ENDED] = [Fault.AWAY]
        endings = replace(
            w.recovery.carrier.endings, retry_s=(0.01,) * 10_000, patience_s=0.05, unstored={}
        )
        async with asyncio.timeout(10.0):
            with pytest.raises(OutcomeUnstored):
                await endings.record(running[0], NEVER_HANDED_OVER, actor="broker")
        store.faults.clear()
        w.runner.going.set()
        await asked
    assert sum(STORE_RETRY_S) < OUTCOME_PATIENCE_S


async def test_what_the_store_takes_again_before_the_broker_ends_is_recorded(tmp_path: Path):
    """Stop the broker while the disk is full, so that an end that it knows is lost."""
    async with quiet_world(tmp_path) as w:
        store = faulty(w)
        caller = await w.caller()
        store.faults[EntryKind.CALL_ENDED] = [*[Fault.AWAY] * 4, None]
        with pytest.raises(OutcomeUnstored):
            await w.refund(caller, request_id="r")
        endings = w.recovery.carrier.endings
        await endings.finish(within_s=0.0)
        assert endings.unstored
        await endings.finish(within_s=10.0)
        recorded = await w.store.find_request(caller.session.name, "r")
        assert recorded.state is InvocationState.SUCCEEDED


async def test_whoever_waits_for_a_person_while_the_store_is_away_is_told_that_it_is_held(
    tmp_path: Path,
):
    """Have a call held, and be told that nothing was decided, so that it is sent once more."""
    async with world(tmp_path) as w:
        store = faulty(w)
        w.policy.answer = opinion(hold("LARGE"))
        caller = await w.caller()
        waiting = asyncio.ensure_future(w.refund(caller, hold_wait_s=30.0))
        while not await w.store.open_holds_of(caller.session.name):
            await asyncio.sleep(0.01)
        store.is_away = True
        assert (await waiting).state is InvocationState.HELD


async def test_a_call_that_nobody_carries_any_more_is_unknown_after_its_lease(tmp_path: Path):
    """Have the broker forget a running call, so that its order is blocked until a restart."""
    async with world(tmp_path) as w:
        await w.put_tool(behaviour=ONCE)
        w.runner.going.clear()
        caller = await w.caller()
        task = asyncio.ensure_future(w.refund(caller, request_id="r"))
        while not w.recovery.carrier.carrying:
            await asyncio.sleep(0.01)
        carrying = w.recovery.carrier.carrying
        (name,) = carrying
        carrying.clear()
        await w.recovery.sweep_once()  # its lease is not over: it may be carried elsewhere
        carrying.add(name)
        w.clock.advance(3_600)
        await w.recovery.sweep_once()  # it is carried here: its lease is nobody else's matter
        (running,) = await w.store.unfinished()
        assert running.state is InvocationState.RUNNING
        carrying.clear()
        await w.recovery.sweep_once()
        recorded = await w.store.find_request(caller.session.name, "r")
        assert recorded.state is InvocationState.UNKNOWN
        w.runner.going.set()
        with pytest.raises(OutcomeUnstored):
            await task


async def test_one_hold_that_cannot_be_ended_does_not_keep_the_others_waiting(tmp_path: Path):
    """Break one hold, so that no other expires or is taken up any more."""
    async with world(tmp_path) as w:
        store = faulty(w)
        w.policy.answer = opinion(hold("LARGE"))
        caller = await w.caller()
        broken, other = await w.refund(caller), await w.refund(caller)
        w.clock.advance(TERMS.decide_within_s)

        async def break_one(unit):
            if any(entry.invocation == broken.name for entry in unit.entries):
                raise ValueError("broken")

        store.before = break_one
        await w.recovery.sweep_once()
        assert (await w.store.find_hold(broken.hold))[0].state is HoldState.PENDING
        assert (await w.store.find_hold(other.hold))[0].state is HoldState.EXPIRED


async def test_the_sweep_goes_on_whatever_it_met(tmp_path: Path):
    """Break one round, so that nothing expires for as long as the broker lives."""
    async with world(tmp_path) as w:
        store = faulty(w)
        rounds = 0

        async def overdue(**_):
            nonlocal rounds
            rounds += 1
            if rounds == 1:
                raise KeyError("broken")
            return []

        store.overdue = overdue
        sweeping = asyncio.ensure_future(w.recovery.sweep())
        async with asyncio.timeout(10):
            while rounds < 2:
                await asyncio.sleep(0.05)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
