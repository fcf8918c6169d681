"""Workers that take what is not theirs, answer twice, late, or for another."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.core.credentials import CredentialClass
from broker.core.errors import IllegalTransition, NotPermitted, RunnerUnavailable
from broker.core.lifecycle import InvocationState
from broker.ports import Failed, Lost, Succeeded
from broker.tools.worker import (
    Acknowledgement,
    Answer,
    Connection,
    Handover,
    Offer,
    ToolOffer,
    WorkerHub,
)
from tests.world import REFUND, World, credential, world

WORKER = credential(CredentialClass.WORKER, "workers/shop", tools=("refund",))
OTHER = credential(CredentialClass.WORKER, "workers/other", tools=("other",))
PAID = Succeeded(result_json=b'{"refund_id":"r-1"}')


def offer(name: str = "refund", slots: int = 1, **changed) -> Offer:
    parameters = {**REFUND["arguments"], **changed}
    return Offer(slots=slots, tools=(ToolOffer(name=name, parameters_schema=parameters),))


@contextlib.asynccontextmanager
async def hub_world(path: Path) -> AsyncIterator[tuple[World, WorkerHub]]:
    async with world(path) as w:
        hub = WorkerHub(control=w.room.current, store=w.store, clock=w.clock, ids=w.ids)
        w.enforcer._runner = hub
        yield w, hub


async def next_call(connection: Connection) -> Handover:
    async for message in connection.handovers():
        if isinstance(message, Handover):
            return message
    raise AssertionError("closed")


def answer(handover: Handover, outcome=PAID, *, token: str = "") -> Answer:
    return Answer(
        invocation=handover.call.invocation.name,
        fencing_token=token or handover.call.fencing_token,
        outcome=outcome,
    )


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


async def test_a_second_answer_changes_nothing(tmp_path: Path):
    """Say that it worked, then that it failed."""
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        await connection.answer(answer(handover))
        await connection.answer(answer(handover, Failed(code="NO", message="No.")))
        done = await task
        again = await w.store.find_invocation(done.name)
        assert done.state is again.state is InvocationState.SUCCEEDED


async def test_an_answer_after_the_deadline_is_kept_as_evidence(tmp_path: Path):
    """Answer when nobody waits any more, so that an unknown call turns into a success."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool(deadline_s=0.1)
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        done = await task
        assert done.state is InvocationState.UNKNOWN
        await connection.answer(answer(handover))
        assert (await w.store.find_invocation(done.name)).state is InvocationState.UNKNOWN
        late = [e for e in await w.store.entries(done.name) if e["kind"] == "attempt.answered_late"]
        assert "r-1" in str(late)
        acknowledged = [m async for m in _until_closed(connection)]
        assert isinstance(acknowledged[-1], Acknowledgement)


async def test_a_worker_that_comes_back_in_time_delivers_its_answer(tmp_path: Path):
    async with hub_world(tmp_path) as (w, hub):
        first = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(first)
        first.close()
        second = hub.connect(WORKER, offer())
        await second.answer(answer(handover))
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
        done = await task
        assert (done.state, done.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        # What was reported as never started is not handed over afterwards either.
        assert [m async for m in connection.handovers()] == []


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


@pytest.mark.parametrize(
    ("sent", "state", "code"),
    [
        (Succeeded(result_json=b"not json"), InvocationState.SUCCEEDED, "RESULT_INVALID"),
        (Succeeded(result_json=b'{"refund_id":1}'), InvocationState.SUCCEEDED, "RESULT_INVALID"),
        (Succeeded(result_json=b"[" * 10_000), InvocationState.SUCCEEDED, "RESULT_INVALID"),
        (Lost(why="KeyError"), InvocationState.UNKNOWN, "OUTCOME_UNKNOWN"),
    ],
)
async def test_an_answer_that_means_nothing_is_withheld(tmp_path: Path, sent, state, code):
    """Answer with something that the next reader chokes on."""
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        await connection.answer(answer(await next_call(connection), sent))
        done = await task
        assert (done.state, done.code, done.result) == (state, code, None)


async def _until_closed(connection: Connection):
    connection.close()
    async for message in connection.handovers():
        yield message
