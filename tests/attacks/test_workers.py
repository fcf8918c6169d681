"""Workers that take what is not theirs, or carry out what they should not any more."""

import asyncio
from pathlib import Path

import pytest

from broker.core.errors import IllegalTransition, NotPermitted, RunnerUnavailable
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import InvocationState
from broker.ports import Failed
from broker.tools.connection import OFFERED_MAX, Connection
from broker.tools.worker import Declined, Handover, Load
from tests.attacks.worker_hub import OTHER, WORKER, answer, hub_world, next_call, offer
from tests.world import REFUND


async def test_a_worker_gets_and_answers_what_its_credential_names(tmp_path: Path):
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        await connection.answer(answer(handover))
        done = await task
        assert done.state is InvocationState.SUCCEEDED
        assert done.result == b'{"refund_id":"r-1"}'
        assert connection.free == connection.slots == 1


async def test_a_worker_cannot_offer_another_ones_tool(tmp_path: Path):
    """Connect with a credential for a harmless tool, and offer to carry out refunds."""
    async with hub_world(tmp_path) as (_, hub):
        with pytest.raises(NotPermitted, match="refund"):
            hub.connect(OTHER, offer())
        assert hub.connections == ()


async def test_a_signature_that_does_not_fit_is_refused_before_any_call(tmp_path: Path):
    async with hub_world(tmp_path) as (_, hub):
        with pytest.raises(IllegalTransition, match="'reason' may be left out"):
            hub.connect(WORKER, offer(required=["order_id", "amount_minor", "currency", "reason"]))
        wrong = {**REFUND["arguments"]["properties"], "amount_minor": {"type": "string"}}
        with pytest.raises(IllegalTransition, match="'amount_minor' is integer in the manifest"):
            hub.connect(WORKER, offer(properties=wrong))


async def test_an_answer_with_another_token_counts_for_nothing(tmp_path: Path):
    """Answer a call under a token from an earlier attempt, or a guessed one."""
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        await connection.answer(answer(handover, token="old"))
        assert not task.done()
        await connection.answer(answer(handover, Failed(code="ORDER_CLOSED", message="Closed.")))
        done = await task
        assert (done.state, done.code) == (InvocationState.FAILED, "ORDER_CLOSED")
        kinds = [e["kind"] for e in await w.store.entries(done.name)]
        assert kinds.count("attempt.answered_late") == 1


async def test_another_worker_cannot_answer_for_it(tmp_path: Path):
    """Learn a token, and answer the call from another worker's stream."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool({**REFUND, "name": "other"})
        connection = hub.connect(WORKER, offer())
        stranger = hub.connect(OTHER, offer("other"))
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        await stranger.answer(answer(handover, Failed(code="NO", message="No.")))
        assert not task.done()
        await connection.answer(answer(handover))
        assert (await task).state is InvocationState.SUCCEEDED


async def test_a_call_that_was_never_sent_never_started(tmp_path: Path):
    """Leave with a call in the queue, so that nobody knows whether it ran."""
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        while not await w.store.unfinished():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        connection.close()
        async with asyncio.timeout(5):
            done = await task
        assert (done.state, done.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        # What was reported as never started is not handed over afterwards either.
        assert [m async for m in connection.handovers()] == []


async def test_a_call_that_a_worker_never_read_never_started(tmp_path: Path):
    """Stay connected and read nothing, so that nobody knows whether the call ran."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool(deadline_s=0.1)
        connection = hub.connect(WORKER, offer())
        done = await w.refund(await w.caller())
        assert (done.state, done.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        connection.close()
        assert [m async for m in connection.handovers()] == []


async def test_a_worker_that_leaves_between_its_place_and_the_call_gets_none(tmp_path: Path):
    """Offer a free place, and leave before the call comes."""
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        commit = w.store.commit

        async def leave_first(unit):
            connection.close()
            await commit(unit)

        caller = await w.caller()
        w.store.commit = leave_first
        async with asyncio.timeout(5):
            done = await w.refund(caller)
        assert (done.state, done.code) == (InvocationState.CANCELLED, "NOT_STARTED")


async def test_without_a_free_slot_nothing_is_recorded(tmp_path: Path):
    async with hub_world(tmp_path) as (w, hub):
        caller = await w.caller()
        with pytest.raises(RunnerUnavailable):
            await w.refund(caller, request_id="r")
        assert await w.store.find_request(caller.session.name, "r") is None
        assert hub.connections == ()


async def test_load_is_shared_by_free_slots(tmp_path: Path):
    async with hub_world(tmp_path) as (w, hub):
        one, other = hub.connect(WORKER, offer(slots=2)), hub.connect(WORKER, offer(slots=2))
        manifest = w.room.current().tools["refund"].manifest
        slots = [await hub.reserve(manifest, wait_s=1) for _ in range(4)]
        assert (one.free, other.free) == (0, 0)
        assert sorted(s.connection.name for s in slots) == sorted([one.name, other.name] * 2)
        with pytest.raises(RunnerUnavailable):
            await hub.reserve(manifest, wait_s=0.01)
        slots[0].release()
        slots[0].release()
        assert one.free + other.free == 1
        one.drain()
        other.drain()
        with pytest.raises(RunnerUnavailable):
            await hub.reserve(manifest, wait_s=0.01)


async def test_slots_that_other_brokers_use_are_not_counted_on(tmp_path: Path):
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer(slots=2))
        manifest = w.room.current().tools["refund"].manifest
        connection.load(Load(elsewhere=1))
        slot = await hub.reserve(manifest, wait_s=1)
        with pytest.raises(RunnerUnavailable):
            await hub.reserve(manifest, wait_s=0.01)
        waiting = asyncio.ensure_future(hub.reserve(manifest, wait_s=5))
        await asyncio.sleep(0)
        connection.load(Load(elsewhere=0))
        (await waiting).release()
        slot.release()
        connection.load(Load(elsewhere=-7))
        assert connection.free == connection.slots == 2


async def test_a_call_that_one_worker_declines_is_carried_out_by_another(tmp_path: Path):
    async with hub_world(tmp_path) as (w, hub):
        full, other = hub.connect(WORKER, offer(slots=3)), hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        await full.answer(answer(await next_call(full), Declined(why="full")))
        await other.answer(answer(await next_call(other)))
        assert (await task).state is InvocationState.SUCCEEDED
        assert (full.free, other.free) == (3, 1)


async def test_a_call_that_every_worker_declines_never_began(tmp_path: Path):
    """Decline for ever: a call is offered to a few, and then its caller hears that nothing ran."""
    async with hub_world(tmp_path) as (w, hub):
        workers = [hub.connect(WORKER, offer()) for _ in range(OFFERED_MAX + 1)]
        declining = [asyncio.ensure_future(_declining(each)) for each in workers]
        async with asyncio.timeout(5):
            done = await w.refund(await w.caller())
        for each in workers:
            each.close()
        assert sum(await asyncio.gather(*declining)) == OFFERED_MAX
        assert (done.state, done.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert [each.free for each in workers] == [1] * len(workers)


async def _declining(worker: Connection) -> int:
    calls = 0
    async for message in worker.handovers():
        if isinstance(message, Handover):
            calls += 1
            await worker.answer(answer(message, Declined(why="full")))
    return calls


async def test_a_worker_of_yesterdays_signature_gets_no_call_of_todays_manifest(tmp_path: Path):
    """Change what a tool takes while a worker that knows the old arguments stays connected."""
    async with hub_world(tmp_path) as (w, hub):
        caller = await w.caller()
        connection = hub.connect(WORKER, offer())
        properties = {**REFUND["arguments"]["properties"], "reason": {"type": "integer"}}
        await w.put_tool(arguments={**REFUND["arguments"], "properties": properties})
        with pytest.raises(RunnerUnavailable):
            await w.enforcer.invoke(
                caller,
                request_id="r",
                tool="refund",
                arguments_json=b'{"order_id":"O-1001","amount_minor":1,"currency":"EUR","reason":1}',
            )
        assert connection.free == 1
        await w.put_tool()
        task = asyncio.ensure_future(w.refund(caller))
        await connection.answer(answer(await next_call(connection)))
        assert (await task).state is InvocationState.SUCCEEDED


async def test_a_freeze_stops_what_waits_in_a_workers_queue(tmp_path: Path):
    """Stop reading, have calls queue up, and read on after somebody pulled the plug."""
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        while not connection._outbox.qsize():
            await asyncio.sleep(0.01)
        await w.freeze(FreezeKind.TOOL, "refund")
        reading = asyncio.ensure_future(next_call(connection))
        stopped = await task
        assert (stopped.state, stopped.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert not reading.done()
        connection.close()
        with pytest.raises(AssertionError, match="closed"):
            await reading
