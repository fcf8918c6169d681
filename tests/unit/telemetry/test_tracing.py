"""What is told of a call: by wrapped ports, in the trace that its task has, and nowhere else."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from broker.core.errors import RunnerUnavailable
from broker.core.lifecycle import InvocationState
from broker.fairness.queue import FairQueue, Places
from broker.policy.opinion import denied
from broker.telemetry.spans import Kind, Span, first_span_of, trace_of
from broker.telemetry.tracing import Tracing
from tests.fakes.decision_point import REVISION, FakeDecisionPoint, hold, opinion
from tests.traced_world import ask, hang_on
from tests.world import TERMS, OnePolicy, reviewer, world


def named(spans: Sequence[Span], name: str) -> Span:
    [span] = [span for span in spans if span.name == name]
    return span


async def test_each_act_of_a_call_is_told(tmp_path: Path):
    taken: list[Span] = []
    async with world(tmp_path) as w:
        tracing = hang_on(w, taken.extend)
        done = await ask(w, tracing, await w.caller())
    assert [span.name for span in taken] == [
        "look_up",
        "facts",
        "evaluate",
        "reserve",
        "record",
        "execute",
        "record",
        "invoke refund",
    ]
    assert {span.trace_id for span in taken} == {trace_of(done.name)}
    assert named(taken, "facts").attributes == {
        "callbroker.facts": 1,
        "callbroker.facts.failed": 0,
    }
    assert named(taken, "execute").kind is Kind.CLIENT
    assert not any(span.error for span in taken)


async def test_whoever_carries_a_call_out_can_go_on_below_its_span(tmp_path: Path):
    taken: list[Span] = []
    async with world(tmp_path) as w:
        tracing = hang_on(w, taken.extend)
        await ask(w, tracing, await w.caller())
        [handed] = w.runner.ran
    execute = named(taken, "execute")
    assert handed.traceparent == f"00-{execute.trace_id:032x}-{execute.span_id:016x}-03"


async def test_a_call_that_is_not_kept_is_handed_over_without_a_trace(tmp_path: Path):
    async with world(tmp_path) as w:
        tracing = hang_on(w, lambda _: None, ratio=0.0)
        await ask(w, tracing, await w.caller())
        [handed] = w.runner.ran
    assert handed.traceparent == ""


async def test_nobody_is_told_of_the_trace_of_another_call(tmp_path: Path):
    async with world(tmp_path) as w:
        tracing = hang_on(w, lambda _: None)
        caller = await w.caller()
        for order in ("O-1001", "O-1002"):
            await ask(w, tracing, caller, order_id=order)
        first, second = (replace(call, traceparent="") for call in w.runner.ran)
        slot = await w.parts.runner.reserve(second.manifest, profile="", wait_s=1.0)
        with tracing.again(first.invocation):
            await slot.run(second)
            await slot.run(first)
    other, own = w.runner.ran[-2:]
    assert other.traceparent == ""
    assert own.traceparent


@pytest.mark.parametrize("runner", ["sandbox", "caller"])
async def test_neither_a_container_nor_an_agent_is_told_of_a_trace(tmp_path: Path, runner: str):
    async with world(tmp_path) as w:
        tracing = hang_on(w, lambda _: None)
        await ask(w, tracing, await w.caller())
        [handed] = w.runner.ran
        manifest = replace(handed.manifest, runner=runner)
        slot = await w.parts.runner.reserve(manifest, profile="", wait_s=1.0)
        await slot.run(replace(handed, manifest=manifest, traceparent=""))
    assert handed.traceparent
    assert w.runner.ran[-1].traceparent == ""


async def test_an_engine_that_says_nothing_that_counts_is_told(tmp_path: Path):
    taken: list[Span] = []
    async with world(tmp_path) as w:
        erring = FakeDecisionPoint(denied("POLICY_LATE", revision=REVISION))
        w.use(policies=OnePolicy(erring))
        tracing = hang_on(w, taken.extend)
        await ask(w, tracing, await w.caller())
    assert named(taken, "evaluate").error == "POLICY_LATE"
    assert named(taken, "invoke refund").attributes["callbroker.decision.codes"] == ("POLICY_LATE",)


async def test_a_part_that_is_away_is_told_as_a_failure(tmp_path: Path):
    taken: list[Span] = []
    async with world(tmp_path) as w:
        w.runner.free = 0
        tracing = hang_on(w, taken.extend)
        caller = await w.caller()
        with pytest.raises(RunnerUnavailable):
            await ask(w, tracing, caller)
    for name in ("reserve", "invoke refund"):
        span = named(taken, name)
        assert (span.error, span.is_failure) == ("RUNNER_UNAVAILABLE", True)


async def test_an_approved_call_is_told_below_its_first_span(tmp_path: Path):
    taken: list[Span] = []
    async with world(tmp_path) as w:
        w.use(policies=OnePolicy(FakeDecisionPoint(opinion(hold("LARGE", TERMS)))))
        tracing = hang_on(w, taken.extend)
        held = await ask(w, tracing, await w.caller())
        found = await w.store.find_hold(held.hold)
        await w.reviews.approve(
            reviewer("lead-1"),
            held.hold,
            etag=found[0].etag,
            call_digest=held.call.digest,
        )
        await w.own.drain(within_s=5.0)
        done = await w.store.find_invocation(held.name)
    assert done.state is InvocationState.SUCCEEDED
    resume = named(taken, "resume")
    assert resume.parent_id == first_span_of(trace_of(held.name))
    assert named(taken, "execute").parent_id == resume.span_id
    assert {span.trace_id for span in taken} == {trace_of(held.name)}


async def test_who_hangs_up_is_told_as_that_and_the_call_goes_on_in_its_trace(tmp_path: Path):
    taken: list[Span] = []
    async with world(tmp_path) as w:
        tracing = hang_on(w, taken.extend)
        w.runner.going.clear()
        asking = asyncio.create_task(ask(w, tracing, await w.caller()))
        async with asyncio.timeout(10.0):
            while not (running := await w.store.unfinished()):
                await asyncio.sleep(0.01)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        first = named(taken, "invoke refund")
        assert first.error == "cancelled"
        w.runner.going.set()
        await w.own.drain(within_s=5.0)
    execute = named(taken, "execute")
    assert execute.parent_id == first.span_id
    assert execute.trace_id == first.trace_id == trace_of(running[0].name)
    assert len({span.span_id for span in taken}) == len(taken)


async def test_who_waits_for_a_turn_is_told_of_and_nobody_else():
    taken: list[Span] = []
    tracing = Tracing(taken.extend, ratio=1.0, control=_nothing, clock=lambda: 1.0)
    queue = FairQueue(Places(most=1, alone_max=1, crowd_max=1))
    queue.watch_wait = lambda: tracing.stage("wait")
    entered, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        with tracing.asked(""):
            async with queue.place("a", within_s=5.0):
                entered.set()
                await leave.wait()

    async def second() -> None:
        with tracing.asked(""):
            async with queue.place("b", within_s=5.0):
                pass

    tasks = [asyncio.create_task(first())]
    await entered.wait()
    tasks.append(asyncio.create_task(second()))
    await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(*tasks)
    assert sorted(span.name for span in taken) == ["invoke", "invoke", "wait"]
    wait = named(taken, "wait")
    assert not wait.error
    assert wait.parent_id in {span.span_id for span in taken}


async def test_calls_at_once_keep_their_traces_apart(tmp_path: Path):
    taken: list[Span] = []
    async with world(tmp_path) as w:
        tracing = hang_on(w, taken.extend)
        callers = [await w.caller() for _ in range(8)]
        done = await asyncio.gather(
            *(ask(w, tracing, caller, order_id="O-1002") for caller in callers)
        )
    for one in done:
        spans = [span for span in taken if span.trace_id == trace_of(one.name)]
        assert named(spans, "execute")
        assert named(spans, "invoke refund").attributes["gen_ai.tool.call.id"] == one.name
        assert {s.parent_id for s in spans} == {0, first_span_of(trace_of(one.name))}
    assert len({span.span_id for span in taken}) == len(taken)


def test_a_broker_that_tells_nobody_loads_nothing_of_it():
    loaded = (
        "import sys, broker.app\n"
        "print([m for m in sys.modules"
        " if m.startswith(('opentelemetry', 'broker.telemetry.', 'prometheus'))])"
    )
    said = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=120
    )
    assert said.stdout.strip() == "[]"


def _nothing():
    return _Nothing()


class _Nothing:
    tools = ()
    agents = ()
