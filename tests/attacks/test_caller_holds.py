"""A held call that the agent's own process is to execute: whom an approval releases it to."""

import asyncio
from pathlib import Path

import grpc
import pytest

from broker.core import limits
from broker.core.decision import Obligation
from broker.core.lifecycle import HoldState
from broker.core.lifecycle import InvocationState as State
from broker.sdk import connect
from broker.v1 import broker_pb2, broker_pb2_grpc
from tests.called import PAID, TAKER, Called, called, called_by_wire, mandate
from tests.e2e.refusals import bearer
from tests.fakes.decision_point import allow, hold, opinion
from tests.world import TERMS, reviewer

LEAD = reviewer("lead-1")
REFUND = {"order_id": "O-1001", "amount_minor": 1000, "currency": "EUR"}


async def test_an_approval_is_not_spent_while_nobody_waits_to_execute(tmp_path: Path):
    """Go away, so that the approval is used up by a call that nobody executes."""
    async with called(tmp_path) as c:
        held = await _held(c)
        await _approve(c, held)
        await _quiet(c)
        assert (await c.find(held)).state is State.HELD
        assert (await c.world.store.find_hold(held.hold))[0].state is HoldState.APPROVED
        c.world.clock.advance(limits.PERMIT_RETRY_S)
        with c.world.permits.awaited(held.session, held.request_id, TAKER):
            await c.world.recovery.sweep_once()
            running = await _until(c, held, State.RUNNING)
            _, permit = await c.world.permits.taken(running, TAKER)
        reported = await c.report(running, permit, PAID)
        assert reported.invocation.state is State.SUCCEEDED


async def test_while_nobody_waits_policy_is_not_asked_with_every_sweep(tmp_path: Path):
    """Leave approved calls behind, each of which is decided anew every second."""
    async with called(tmp_path) as c:
        held = await _held(c)
        await _approve(c, held)
        await _quiet(c)
        asked = len(c.world.policy.asked)
        for _ in range(5):
            await c.world.recovery.sweep_once()
            await _quiet(c)
        assert len(c.world.policy.asked) == asked


async def test_a_process_that_waits_for_another_call_gets_no_permit(tmp_path: Path):
    """Wait to execute a harmless call of the session, and get the approved one's permit."""
    async with called(tmp_path) as c:
        held = await _held(c)
        with c.world.permits.awaited(held.session, "another", TAKER):
            await _approve(c, held)
            await _quiet(c)
        assert (await c.find(held)).state is State.HELD


async def test_what_waits_while_it_is_approved_is_released_to_it(tmp_path: Path):
    async with called(tmp_path) as c:
        c.world.policy.answer = opinion(hold(terms=TERMS))
        asking = asyncio.create_task(c.ask(request_id="waits", hold_wait_s=20.0))
        while (held := await c.world.store.find_request(c.caller.session.name, "waits")) is None:
            await asyncio.sleep(0.01)
        await _approve(c, held)
        running, permit = await asking
        assert running.state is State.RUNNING
        assert permit.call.invocation.call.digest == held.call.digest
        await c.report(running, permit, PAID)


async def test_isolation_that_nobody_can_give_is_a_denial(tmp_path: Path):
    """Have policy ask for a sandbox of a tool that runs in the agent's own process."""
    async with called(tmp_path) as c:
        duty = Obligation(kind="profile", parameters={"profile": "strict"}, family="test")
        c.world.policy.answer = opinion(allow(), obligations=(duty,))
        refused, permit = await c.ask()
        assert (refused.code, permit) == ("OBLIGATION_UNSUPPORTED", None)


async def test_what_policy_redacts_is_not_in_the_record(tmp_path: Path):
    """Report what policy would have redacted, so that the record hands it on to the model."""
    async with called(tmp_path) as c:
        duty = Obligation(kind="redact", parameters={"pointers": ["/refund_id"]}, family="test")
        c.world.policy.answer = opinion(allow(), obligations=(duty,))
        invocation, permit = await c.ask()
        reported = await c.report(invocation, permit, PAID)
        assert b"r-1" not in (reported.invocation.result or b"")


async def _held(c: Called):
    c.world.policy.answer = opinion(hold(terms=TERMS))
    held, permit = await c.ask()
    assert (held.state, permit) == (State.HELD, None)
    return held


async def _approve(c: Called, held) -> None:
    found, _ = await c.world.store.find_hold(held.hold)
    await c.world.reviews.approve(LEAD, found.name, etag=found.etag)


async def _quiet(c: Called) -> None:
    """Return once nothing is under way."""
    while c.world.own.tasks:
        await asyncio.gather(*c.world.own.tasks, return_exceptions=True)


async def _until(c: Called, held, state: State):
    while (found := await c.find(held)).state is not state:
        await asyncio.sleep(0.01)
    return found


async def test_another_task_of_the_same_agent_takes_no_permit(tmp_path: Path):
    """My task is another one, with the same credential: I watch your call, to execute it here."""
    async with (
        called_by_wire(tmp_path) as (c, address, token),
        connect(address, agent_token=token) as broker,
        grpc.aio.insecure_channel(address) as channel,
    ):
        session, mine = [await broker.open_session(await mandate(c)) for _ in range(2)]
        c.world.policy.answer = opinion(hold(terms=TERMS))
        held = await session.permit("refund", REFUND, request_id="theirs")
        stub, by = broker_pb2_grpc.BrokerServiceStub(channel), bearer(token)
        for secret in ("", mine.secret):
            asked = {"name": held.name, "permit_taker": TAKER, "session_secret": secret}
            with pytest.raises(grpc.aio.AioRpcError, match="session"):
                await stub.GetInvocation(broker_pb2.GetInvocationRequest(**asked), **by)
            watching = stub.WatchInvocation(broker_pb2.WatchInvocationRequest(**asked), **by)
            with pytest.raises(grpc.aio.AioRpcError, match="session"):
                await watching.read()
            assert not c.hub.is_awaited(session.name, "theirs")
