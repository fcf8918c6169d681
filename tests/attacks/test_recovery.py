"""What a crash leaves behind: nothing runs twice, and nobody settles their own."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.core.credentials import CredentialClass
from broker.core.decision import Obligation
from broker.core.errors import (
    IllegalTransition,
    MalformedRequest,
    NotPermitted,
    OutcomeUnstored,
    StoreUnavailable,
)
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import Unit
from broker.enforcer.concluding import interrupted
from broker.ports import Lost
from tests.fakes.decision_point import allow, hold, opinion
from tests.fakes.faulty_store import FaultyStore
from tests.world import CUSTOMER, ONCE, build, credential, reviewer, world

OPERATOR = credential(CredentialClass.OPERATOR, "operators/1", person="operator-1")


async def test_a_call_that_was_running_becomes_unknown_and_does_not_run_again(tmp_path: Path):
    """Kill the broker while a refund is under way, so that the next one pays it once more."""
    async with world(tmp_path) as w:
        await w.put_tool(behaviour=ONCE)
        w.runner.going.clear()
        caller = await w.caller()
        task = asyncio.ensure_future(w.refund(caller, request_id="r"))
        while not await w.store.unfinished():
            await asyncio.sleep(0.01)
        later = await build(w.store, w.clock, owner="brokers/2")
        later.use(exclusive_wait_s=0.05)
        assert await later.recovery.recover() == 1
        recorded = await w.store.find_request(caller.session.name, "r")
        assert recorded.state is InvocationState.UNKNOWN
        again = await later.refund(caller, request_id="r2")
        assert again.code == "EXCLUSIVE_UNSETTLED"
        assert not later.runner.ran
        # The first broker was not dead after all: its late outcome does not overwrite anything.
        w.runner.going.set()
        with pytest.raises(OutcomeUnstored):
            await task
        recorded = await w.store.find_request(caller.session.name, "r")
        assert recorded.state is InvocationState.UNKNOWN


async def test_what_another_broker_has_under_way_is_left_to_it_while_it_lives(tmp_path: Path):
    """Start a broker beside one that carries a refund out, and let a day pass on its clock."""
    async with world(tmp_path) as w:
        await w.put_tool(behaviour=ONCE)
        w.runner.going.clear()
        task = asyncio.ensure_future(w.refund(await w.caller(), request_id="r"))
        while not await w.store.unfinished():
            await asyncio.sleep(0.01)
        gone: set[str] = set()
        other = await build(w.store, w.clock, owner="brokers/2")
        other.use(is_gone=lambda owner: owner in gone)
        w.clock.advance(86_400)
        assert await other.recovery.recover() == 0
        await other.recovery.sweep_once()
        (running,) = await w.store.unfinished()
        assert running.state is InvocationState.RUNNING
        gone.add(running.owner)
        await other.recovery.sweep_once()
        assert (await w.store.find_invocation(running.name)).state is InvocationState.UNKNOWN
        w.runner.going.set()
        with pytest.raises(OutcomeUnstored):
            await task


@pytest.mark.parametrize("is_start", [True, False])
async def test_a_call_that_another_broker_ends_first_keeps_none_from_its_end(
    tmp_path: Path, *, is_start: bool
):
    """Have two brokers find the same two calls, so that who is slower does not even start."""
    async with world(tmp_path) as w:
        await w.put_tool(behaviour=ONCE)
        w.runner.going.clear()
        caller = await w.caller()
        tasks = [
            asyncio.ensure_future(w.refund(caller, request_id=order, order_id=order))
            for order in ("O-1001", "O-1002")
        ]
        while len(await w.store.unfinished()) < len(tasks):
            await asyncio.sleep(0.01)
        faster = await build(w.store, w.clock, owner="brokers/2")
        slower = await build(w.store, w.clock, owner="brokers/3")
        store = FaultyStore(w.store)
        slower.use(store=store)
        w.clock.advance(86_400)
        first, second = await w.store.unfinished()

        async def overtaken(_: Unit) -> None:
            store.before = None
            w.clock.advance(1.0)
            ended = faster.recovery.carrier.endings
            await ended.record(first, interrupted(first), actor="broker")

        store.before = overtaken
        with capture_logs():
            await (slower.recovery.recover() if is_start else slower.recovery.sweep_once())
            w.runner.going.set()
            await asyncio.gather(*tasks, return_exceptions=True)
        for one in (first, second):
            found = await w.store.find_invocation(one.name)
            assert found.state is InvocationState.UNKNOWN


async def test_a_hold_waits_on_over_a_restart_and_an_approval_is_taken_up(tmp_path: Path):
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        invocation = await w.refund(await w.caller())
        one = (await w.store.find_hold(invocation.hold))[0]
        w.runner.free = 0
        await w.reviews.approve(reviewer("r", "reviewers"), one.name, etag=one.etag)
        later = await build(w.store, w.clock, owner="brokers/2")
        later.policy.answer = opinion(hold("LARGE"))
        assert await later.recovery.recover() == 0
        await later.recovery.sweep_once()
        await asyncio.gather(*later.own.tasks)
        assert (await w.store.find_hold(one.name))[0].state is HoldState.CLAIMED
        assert len(later.runner.ran) == 1


async def unknown(w):
    w.runner.effect = lambda _: Lost(why="no answer")
    return await w.refund(await w.caller())


@pytest.mark.parametrize("person", [CUSTOMER, "agent-owner", ""])
async def test_nobody_settles_their_own_call(tmp_path: Path, person: str):
    """Have one's own refund go unknown, and settle it as never having happened."""
    async with world(tmp_path) as w:
        one = await unknown(w)
        own = credential(CredentialClass.OPERATOR, "operators/me", person=person)
        with pytest.raises(NotPermitted):
            await w.recovery.reconcile(own, one.name, took_effect=False, evidence="trust me")
        assert (await w.store.find_invocation(one.name)).state is InvocationState.UNKNOWN


async def test_a_result_that_a_person_types_is_bound_by_the_same_duties(tmp_path: Path):
    """Have a refund's outcome go unknown, and read in the settlement what policy withholds."""

    async def settle(w, one, result: bytes):
        return await w.recovery.reconcile(
            OPERATOR, one.name, took_effect=True, evidence="Paid.", result_json=result
        )

    async with world(tmp_path) as w:
        w.policy.answer = opinion(allow(), obligations=(Obligation(kind="withhold"),))
        settled = await settle(w, await unknown(w), b'{"refund_id":"r-1"}')
        assert (settled.state, settled.result) == (InvocationState.SUCCEEDED, None)
        w.policy.answer = opinion(allow())
        other = await unknown(w)
        for result in (b'{"refund_id":1}', b"{", b'{"refund_id":"r-1","refund_id":"r-2"}'):
            with pytest.raises(MalformedRequest):
                await settle(w, other, result)
        settled = await settle(w, other, b' {"refund_id": "r-1"}')
        assert settled.result == b'{"refund_id":"r-1"}'


async def test_settling_takes_evidence_frees_the_key_and_happens_once(tmp_path: Path):
    async with world(tmp_path) as w:
        one = await unknown(w)
        for evidence in (" ", "x" * 20_000):
            with pytest.raises(MalformedRequest):
                await w.recovery.reconcile(OPERATOR, one.name, took_effect=False, evidence=evidence)
        settled = await w.recovery.reconcile(
            OPERATOR, one.name, took_effect=False, evidence="The payment provider has no such key."
        )
        assert settled.state is InvocationState.FAILED
        with pytest.raises(IllegalTransition):
            await w.recovery.reconcile(OPERATOR, one.name, took_effect=True, evidence="Changed.")
        w.runner.effect = w.shop.refund
        assert (await w.refund(await w.caller())).state is InvocationState.SUCCEEDED


async def test_an_outcome_that_cannot_be_stored_at_once_is_stored_later(tmp_path: Path):
    """Make the database fail right after the effect."""
    async with world(tmp_path) as w:
        commit, failing = w.store.commit, 2

        async def flaky(unit):
            nonlocal failing
            if failing and any("ended" in e.kind for e in unit.entries):
                failing -= 1
                raise StoreUnavailable("The disk is full.")
            await commit(unit)

        w.store.commit = flaky
        assert (await w.refund(await w.caller())).state is InvocationState.SUCCEEDED
        assert len(w.runner.ran) == 1
