"""Workers that answer twice, late, for another, or with what means nothing."""

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest

from broker.core import limits
from broker.core.lifecycle import InvocationState
from broker.ports import Failed, Lost, NeverStarted, Succeeded
from broker.tools.connection import OUTBOX_MAX
from broker.tools.worker import Acknowledgement, Answer, Connection, WorkerHub
from tests.attacks.worker_hub import OTHER, PAID, WORKER, answer, hub_world, next_call, offer
from tests.fakes.faulty_store import FaultyStore
from tests.world import REFUND, world


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


@pytest.mark.parametrize("plan", ["raises", "is silent"])
async def test_a_reader_that_gives_no_answer_has_failed(tmp_path: Path, plan: str):
    """Have people look, for nothing, at each call of a reader that is made to break."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool(behaviour={"read_only": True}, deadline_s=5 if plan == "raises" else 0.2)
        connection = hub.connect(WORKER, offer())
        task = asyncio.ensure_future(w.refund(await w.caller()))
        handover = await next_call(connection)
        if plan == "raises":
            await connection.answer(answer(handover, Lost(why="KeyError")))
        done = await task
        assert (done.state, done.code) == (InvocationState.FAILED, "READING_LOST")


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
