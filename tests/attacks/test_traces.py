"""Attacks by way of traces: to read contents there, to have more told, or to slow calls by telling.

A broker in this process, whose every call is told to a receiver of OTLP over HTTP; where the wire
itself matters, one that serves.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broker.core.calls import Invocation
from broker.core.errors import BrokerError
from broker.core.lifecycle import InvocationState
from broker.ports import Failed, FrozenCall, Lost, Outcome
from broker.telemetry.exporting import Exporter, Pace
from broker.telemetry.invoking import link_of
from broker.telemetry.otlp import Resource
from broker.telemetry.spans import SPANS_MAX, Span
from broker.telemetry.tally import NOT_DELIVERED, QUEUE_FULL, STOPPED
from broker.telemetry.tracing import Tracing
from tests.e2e.raw_worker import RawWorker
from tests.e2e.traced_shop import invoked, traced
from tests.fakes.decision_point import FakeDecisionPoint, allow, hold, opinion
from tests.notice_receiver import Receiver, answering, hanging, receiving
from tests.span_receiver import PATH, told, until
from tests.traced_world import ask, hang_on
from tests.world import TERMS, OnePolicy, reviewer, world

CANARY = "canary-5d20"
CANARY_CODE = "CANARY_5D20"
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAMPLED_TOO = "00-1bf7651916cd43dd8448eb211c80319d-c7ad6b7169203332-01"
RESOURCE = Resource(service="callbroker", version="0", instance="brokers/1")
CALLS = 500
COST_S_MAX = 0.000_6


@contextlib.asynccontextmanager
async def exporting(receiver: Receiver, pace: Pace) -> AsyncGenerator[Exporter]:
    exporter = Exporter(f"http://127.0.0.1:{receiver.port}{PATH}", RESOURCE, pace=pace)
    running = asyncio.create_task(exporter.run())
    try:
        yield exporter
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await exporter.close(within_s=0.2)


def _failing(_: FrozenCall) -> Outcome:
    return Failed(code=CANARY_CODE, message=CANARY, trail={"x": CANARY})


def _lost(_: FrozenCall) -> Outcome:
    return Lost(why=CANARY, trail={"x": CANARY})


def _raising(_: FrozenCall) -> Outcome:
    raise ValueError(CANARY)


@pytest.mark.parametrize("effect", [_failing, _lost, _raising])
async def test_no_word_of_a_tool_that_fails_is_told(
    tmp_path: Path, effect: Callable[[FrozenCall], Outcome]
):
    """Have the tool say it: in its code, its message, what it left behind, what it broke with."""
    async with (
        world(tmp_path) as w,
        receiving(answering(200)) as receiver,
        exporting(receiver, Pace(every_s=0.0)) as exporter,
    ):
        tracing = hang_on(w, exporter.offer)
        w.runner.effect = effect
        await ask(w, tracing, await w.caller())
        await until(lambda: "execute" in {span.name for span in told(receiver.received)})
    body = b"".join(one.body for one in receiver.received)
    assert CANARY.encode() not in body
    assert CANARY_CODE.encode() not in body


async def test_no_word_of_people_or_facts_is_told(tmp_path: Path):
    """Say it in the user's words, in a record that is looked up, in a reviewer's reason."""
    async with (
        world(tmp_path) as w,
        receiving(answering(200)) as receiver,
        exporting(receiver, Pace(every_s=0.0)) as exporter,
    ):
        w.shop.error = CANARY
        w.use(policies=OnePolicy(FakeDecisionPoint(opinion(hold("LARGE", TERMS)))))
        tracing = hang_on(w, exporter.offer)
        caller = await w.caller(words=(CANARY,))
        await ask(w, tracing, caller)
        w.shop.error = ""
        held = await ask(w, tracing, caller, reason=CANARY)
        found = await w.store.find_hold(held.hold)
        await w.reviews.reject(reviewer(CANARY), held.hold, etag=found[0].etag, reason=CANARY)
        await until(
            lambda: (
                InvocationState.REJECTED.value
                in {span.attributes.get("callbroker.state") for span in told(receiver.received)}
            )
        )
    body = b"".join(one.body for one in receiver.received)
    assert held.state is InvocationState.HELD
    for word in (CANARY, "customers/", "groups/"):
        assert word.encode() not in body


async def test_no_word_of_a_request_that_is_turned_away_is_told(tmp_path: Path):
    """Ask for what is no call at all: everything in it is made up."""
    taken: list[Span] = []
    async with world(tmp_path) as w:
        tracing = hang_on(w, taken.extend)
        caller = await w.caller()
        with pytest.raises(BrokerError), tracing.asked(CANARY):
            await w.enforcer.invoke(
                caller, request_id=CANARY, tool=CANARY, arguments_json=CANARY.encode()
            )
    assert [span.name for span in taken] == ["invoke"]
    assert taken[0].error == "MALFORMED_REQUEST"
    assert CANARY not in repr(taken)


def test_a_sampling_flag_has_nothing_told():
    """Say that the trace is sampled, in each call: the operator tells of none."""
    with traced(ratio=0.0) as office:
        session = office.shop.session()
        for _ in range(5):
            invoked(office.shop, session, traceparent=SAMPLED, tracestate="ot=th:0", baggage="a=b")
        tally = office.shop.application._traces.tally
        office.shop.loop.run(office.shop.application.stop())
        assert office.receiver.received == []
    assert tally.exported == 0
    assert sum(tally.dropped.values()) == 0


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_neither_a_worker_nor_an_agent_has_a_say_in_the_brokers_own_trace(ratio: float):
    """As worker and as agent say another trace: the call, or what is handed over, becomes of it.

    The one says so in its stream, the other in its request. Where none is told of, neither is this.
    """
    with traced(ratio=ratio) as office, ThreadPoolExecutor(1) as agents:
        shop = office.shop
        token = shop.operator.create_token("worker", "workers/book", tools=["ledger"])
        with RawWorker(shop, token, "ledger", traceparent=SAMPLED_TOO) as worker:
            assert worker.hear().welcome.worker
            asked = agents.submit(
                invoked, shop, shop.session(), "ledger", {"line": "x"}, traceparent=SAMPLED
            )
            handed = worker.hear().handover
            worker.answer(handed, b'"x"')
            done = asked.result(timeout=30)
        if ratio == 0.0:
            assert handed.traceparent == ""
            return
        spans = office.of(done.name, "invoke ledger", "execute")
    trace = done.name.rpartition("/")[2].replace("-", "")
    [first] = [span for span in spans if span.name == "invoke ledger"]
    [execute] = [span for span in spans if span.name == "execute"]
    assert handed.traceparent == f"00-{trace}-{execute.id}-03"
    assert {span.parent for span in spans} == {"", first.id}
    told_of = SAMPLED.split("-")
    assert [span.links for span in spans if span.links] == [((told_of[1], told_of[2]),)]


async def test_a_call_that_is_told_of_cannot_be_repeated_to_be_told_of_again(tmp_path: Path):
    """Learn from a call's id that it is kept, and ask for the very same again and again."""
    taken: list[Span] = []
    async with world(tmp_path) as w:
        tracing = hang_on(w, taken.extend, ratio=0.5)
        caller = await w.caller()
        while True:
            w.requests += 1
            request = f"kept-{w.requests}"
            kept = await ask(w, tracing, caller, request_id=request)
            if taken:
                break
        taken.clear()
        for _ in range(200):
            again = await ask(w, tracing, caller, request_id=request)
            assert again.name == kept.name
    assert 60 < len(taken) < 140
    trace = int(kept.name.rpartition("/")[2].replace("-", ""), 16)
    assert trace not in {span.trace_id for span in taken}
    assert all(span.attributes["callbroker.repeated"] for span in taken)


@pytest.mark.parametrize(
    "said",
    [
        SAMPLED.upper(),
        SAMPLED + "-00",
        "01" + SAMPLED[2:],
        "ff" + SAMPLED[2:],
        SAMPLED + "\n",
        SAMPLED.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        SAMPLED.replace("b7ad6b7169203331", "0" * 16),
        SAMPLED.replace("0af", "\u0660af"),
        "x" * 8_000,
        CANARY,
        "",
        SAMPLED.encode(),
    ],
    ids=repr,
)
def test_a_traceparent_that_is_none_is_not_looked_at(said: str | bytes):
    """Put something else where the trace should be."""
    assert link_of([("traceparent", said)]) is None


async def test_a_flood_while_nobody_takes_spans_fills_no_memory(tmp_path: Path):
    """Call as fast as may be while the receiver hangs: what is told of each would pile up."""
    pace = Pace(every_s=0.0, queue_max=50, batch_max=10, deadline_s=30.0)
    async with (
        world(tmp_path) as w,
        receiving(hanging) as receiver,
        exporting(receiver, pace) as exporter,
    ):
        tracing = hang_on(w, exporter.offer)
        caller = await w.caller()
        for _ in range(60):
            done = await ask(w, tracing, caller)
            assert exporter.waiting <= 50
            w.clock.advance(1.0)
    assert done.state in {InvocationState.SUCCEEDED, InvocationState.DENIED}
    dropped = exporter.tally.dropped
    assert dropped[QUEUE_FULL] > 100
    assert dropped[NOT_DELIVERED] + dropped[STOPPED] <= 50


async def test_a_trace_never_grows_beyond_its_bound(tmp_path: Path):
    """Have one call do something over and over, so that it is told of over and over."""
    taken: list[Span] = []
    async with world(tmp_path) as w:
        w.policy.answers = opinion(allow())
        tracing = hang_on(w, taken.extend)
        with tracing.asked("refund"):
            for _ in range(SPANS_MAX * 10):
                with tracing.stage("look_up"):
                    pass
    assert len(taken) == SPANS_MAX + 1


async def test_no_call_waits_for_a_receiver_that_hangs(tmp_path: Path):
    """Be the receiver, and never answer: calls end all the same, and so does the broker."""
    pace = Pace(every_s=0.0, deadline_s=30.0)
    async with (
        world(tmp_path) as w,
        receiving(hanging) as receiver,
        exporting(receiver, pace) as exporter,
    ):
        tracing = hang_on(w, exporter.offer)
        caller = await w.caller()
        await ask(w, tracing, caller)
        await until(lambda: len(receiver.received) == 1)
        async with asyncio.timeout(10.0):
            done = [await ask(w, tracing, caller) for _ in range(10)]
        assert exporter.tally.exported == 0
        assert {one.state for one in done} == {InvocationState.SUCCEEDED}


async def test_telling_costs_a_call_next_to_nothing(tmp_path: Path):
    """Slow every call down by telling of it: six tenths of a millisecond would be too much."""
    async with world(tmp_path) as w:
        taken: list[Span] = []
        tracing = hang_on(w, taken.extend)
        done = await ask(w, tracing, await w.caller())
    best = min(_cost_s(tracing, done) for _ in range(5))
    assert best < COST_S_MAX, f"{best * 1e6:.1f} us"


def _cost_s(tracing: Tracing, done: Invocation) -> float:
    """Of a call with as many spans as one has, seconds."""
    begun = time.process_time()
    for _ in range(CALLS):
        with tracing.asked("refund") as answered:
            for _ in range(7):
                with tracing.stage("look_up"):
                    pass
            answered(done.name, "SUCCEEDED")
    return (time.process_time() - begun) / CALLS
