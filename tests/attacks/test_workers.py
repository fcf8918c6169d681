"""Workers that take what is not theirs, answer twice, late, or for another."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.core import limits
from broker.core.credentials import CredentialClass
from broker.core.errors import IllegalTransition, NotPermitted, RunnerUnavailable
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import InvocationState
from broker.ports import Failed, Lost, NeverStarted, Succeeded
from broker.tools.connection import OUTBOX_MAX
from broker.tools.worker import (
    Acknowledgement,
    Answer,
    Connection,
    Handover,
    Offer,
    ToolOffer,
    WorkerHub,
)
from tests.fakes.faulty_store import FaultyStore
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
        w.runner.instead = hub
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


async def test_an_answer_is_acknowledged_once_its_outcome_is_recorded(tmp_path: Path):
    """Let the broker crash between the answer and its record, after the worker has forgotten it."""
    async with world(tmp_path) as w:
        store = FaultyStore(w.store)
        hub = WorkerHub(control=w.room.current, store=store, clock=w.clock, ids=w.ids)
        w.use(store=store, runner=hub)
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        going, queued = asyncio.Event(), []

        async def look_first(unit):
            if any(entry.kind == "call.ended" for entry in unit.entries):
                queued.append(connection._outbox.qsize())
                await going.wait()

        store.before = look_first
        await connection.answer(answer(handover))
        while not queued:
            await asyncio.sleep(0.01)
        assert queued == [0]
        going.set()
        assert (await task).state is InvocationState.SUCCEEDED
        acknowledged = [m async for m in _until_closed(connection)]
        assert [m.fencing_token for m in acknowledged] == [handover.call.fencing_token]


async def test_an_answer_of_the_last_moment_counts(tmp_path: Path):
    """Answer at the deadline itself, so that the answer is taken and the call is unknown."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool(deadline_s=0.1)
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        counted = []
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, lambda: counted.append(hub.count(connection, answer(handover))))
        time.sleep(0.2)  # noqa: ASYNC251 - the answer and the deadline come in one turn of the loop
        done = await task
        assert counted == [True]
        assert done.state is InvocationState.SUCCEEDED


@pytest.mark.parametrize("plan", ["another tool's worker", "no such call"])
async def test_nobody_writes_evidence_into_anothers_story(tmp_path: Path, plan: str):
    """Answer a call of a tool that is not mine, so that whoever settles it reads that it failed."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool({**REFUND, "name": "other"})
        w.runner.instead = None
        w.runner.effect = lambda _: Lost(why="no answer")
        unknown = await w.refund(await w.caller())
        mine = plan == "no such call"
        connection = hub.connect(WORKER, offer()) if mine else hub.connect(OTHER, offer("other"))
        name = "invocations/none" if mine else unknown.name
        before = (await w.store.counts()).audit_entries
        false = Failed(code="NO", message="Nothing was paid.")
        await connection.answer(Answer(invocation=name, fencing_token="t", outcome=false))
        assert (await w.store.counts()).audit_entries == before
        # It is acknowledged all the same: a worker repeats what is not.
        assert len([m async for m in _until_closed(connection)]) == 1


async def test_a_worker_cannot_fill_the_log_with_answers(tmp_path: Path):
    """Answer one call again and again, each time with a megabyte."""
    async with hub_world(tmp_path) as (w, hub):
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        await connection.answer(answer(handover))
        done = await task
        huge = Succeeded(result_json=b'"' + b"x" * 1_000_000 + b'"')
        for n in range(12):
            await connection.answer(answer(handover, huge, token=f"t{n}"))
        entries = await w.store.entries(done.name)
        late = [e for e in entries if e["kind"] == "attempt.answered_late"]
        assert len(late) == limits.LATE_ANSWERS_MAX
        assert len(str(late)) < limits.LATE_ANSWERS_MAX * 70_000
        assert "sha256:" in str(late[0]["contents"])


async def test_a_worker_that_answers_and_does_not_read_is_not_heard_any_further(tmp_path: Path):
    """Answer calls that never were, without end, and leave all acknowledgements lying."""
    async with hub_world(tmp_path) as (_, hub):
        connection = hub.connect(WORKER, offer())

        async def flood() -> None:
            for n in range(OUTBOX_MAX + 10):
                await connection.answer(
                    Answer(invocation=f"invocations/{n}", fencing_token="t", outcome=PAID)
                )

        flooding = asyncio.ensure_future(flood())
        while connection._outbox.qsize() < OUTBOX_MAX:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert connection._outbox.qsize() == OUTBOX_MAX
        reading = connection.handovers()
        for _ in range(20):
            await anext(reading)
        await flooding
        assert connection._outbox.qsize() == OUTBOX_MAX - 10
        await reading.aclose()


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


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        ("order closed", "No.", ("TOOL_FAILED", "No.")),
        ("", "", ("TOOL_FAILED", "The tool failed; nothing took effect.")),
        ("X" * 64, "a\x1b[2Jb\u202ec\u00a0d\ne", ("TOOL_FAILED", "a\ufffd[2Jb\ufffdc d\ne")),
        ("ORDER_CLOSED", "x" * 5_000, ("ORDER_CLOSED", "x" * 1_000)),
    ],
)
async def test_what_a_tool_says_of_its_failure_is_brought_into_bounds(
    tmp_path: Path, code: str, message: str, told: tuple[str, str]
):
    """Put a terminal's commands, or a book, into the text that the model reads of a failure."""
    async with world(tmp_path) as w:
        w.runner.effect = lambda _: Failed(code=code, message=message)
        done = await w.refund(await w.caller())
        assert (done.state, done.code, done.message) == (InvocationState.FAILED, *told)


@pytest.mark.parametrize("plan", ["breaks", "hangs"])
async def test_a_runner_that_breaks_or_hangs_leaves_an_unknown_call(tmp_path: Path, plan: str):
    """Break the part that hands calls over, so that a refund that was paid counts as nothing."""
    async with world(tmp_path) as w:
        await w.put_tool(deadline_s=0.1)
        committer = w.enforcer._committer
        carrier = dataclasses.replace(committer.carrier, runner_grace_s=0.1)
        w.enforcer._committer = dataclasses.replace(committer, carrier=carrier)

        def pay_and_break(call):
            w.shop.refund(call)
            raise RuntimeError("the stream broke")

        w.runner.effect = pay_and_break
        if plan == "hangs":
            w.runner.going.clear()
        async with asyncio.timeout(5):
            done = await w.refund(await w.caller())
        assert (done.state, done.code) == (InvocationState.UNKNOWN, "OUTCOME_UNKNOWN")
        assert w.runner.free == 100
        again = await w.refund(await w.caller())
        assert again.code == "EXCLUSIVE_UNSETTLED"


async def test_what_never_started_is_not_counted_and_what_failed_is(tmp_path: Path):
    """Use a limit up with calls that never ran, or have one that ran given back."""
    async with world(tmp_path) as w:
        await w.put_tool(limits={"refunds": {"per": "principal", "window_s": 60, "calls": 1}})
        caller = await w.caller()
        w.runner.effect = lambda _: NeverStarted(why="no slot")
        for _ in range(3):
            assert (await w.refund(caller)).state is InvocationState.CANCELLED
        w.runner.effect = lambda _: Failed(code="CLOSED", message="It is closed.")
        assert (await w.refund(caller)).state is InvocationState.FAILED
        assert (await w.refund(caller)).code == "LIMIT_EXCEEDED"


async def test_a_result_that_cannot_be_looked_at_is_withheld_and_the_call_ends(tmp_path: Path):
    """Have the check of a result fail, so that the call stays under way for ever."""
    async with world(tmp_path) as w:
        w.runner.effect = lambda _: Succeeded(result_json=None)
        done = await w.refund(await w.caller())
        assert (done.state, done.code) == (InvocationState.SUCCEEDED, "RESULT_INVALID")
        assert not await w.store.unfinished()


async def _until_closed(connection: Connection):
    connection.close()
    async for message in connection.handovers():
        yield message
