"""Traces of a broker that serves: a receiver of OTLP is sent where the time of each call went."""

import contextlib
import http.client
import json
from collections.abc import Iterator

import pytest

from broker.sdk import Call, Worker
from broker.telemetry_settings import Metrics
from broker.v1 import types_pb2
from tests.e2e.guarded_shop import Session
from tests.e2e.shop_tools import AGENT
from tests.e2e.traced_shop import Traced, invoked, traced
from tests.span_receiver import told

CANARY = "canary-7b31"
THEIRS = "0af7651916cd43dd8448eb211c80319c"
THEIR_SPAN = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def office() -> Iterator[Traced]:
    with traced(metrics=Metrics(listen="127.0.0.1:0")) as opened:
        yield opened


def test_where_the_time_of_a_call_went_is_told_under_the_calls_own_id(office: Traced):
    done = office.shop.refund(office.shop.session())
    spans = office.of(done.name, "invoke refund")
    [first] = [span for span in spans if span.name == "invoke refund"]
    assert first.id == first.trace[16:]
    assert not first.parent
    assert not first.is_error
    below = [span for span in spans if span is not first]
    assert [span.name for span in below] == [
        "look_up",
        "evaluate",
        "reserve",
        "record",
        "execute",
        "record",
    ]
    assert {span.parent for span in below} == {first.id}
    assert len({span.id for span in spans}) == len(spans)
    for span in below:
        assert first.begun_ns <= span.begun_ns <= span.ended_ns <= first.ended_ns
    evaluate = below[1].attributes
    assert evaluate["callbroker.policy.group"] == evaluate["callbroker.policy.rounds"] == 1
    assert [span.attributes.get("callbroker.state") for span in below if span.name == "record"] == [
        "RUNNING",
        "SUCCEEDED",
    ]
    assert first.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "broker.v1.BrokerService",
        "rpc.method": "Invoke",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refund",
        "gen_ai.tool.call.id": done.name,
        "gen_ai.conversation.id": done.session,
        "gen_ai.agent.id": AGENT,
        "callbroker.state": "SUCCEEDED",
        "callbroker.attempt": 1,
        "callbroker.decision.effect": "ALLOW",
        "callbroker.decision.codes": first.attributes["callbroker.decision.codes"],
        "callbroker.control.revision": first.attributes["callbroker.control.revision"],
        "callbroker.policy.revision": first.attributes["callbroker.policy.revision"],
        "callbroker.tool.revision": first.attributes["callbroker.tool.revision"],
    }


def test_a_refusal_is_an_answer_and_no_error(office: Traced):
    refused = office.shop.invoke(office.shop.session(), "no_such_tool", {})
    [first, record] = sorted(office.of(refused.name, "invoke"), key=lambda span: span.name)
    assert (first.name, record.name) == ("invoke", "record")
    assert first.attributes["callbroker.decision.effect"] == "DENY"
    assert not first.is_error


def test_an_approved_call_goes_on_in_the_trace_in_which_it_was_held(office: Traced):
    session = office.shop.session()
    hold = office.shop.hold(session)
    office.shop.approve(hold)
    spans = office.of(hold.invocation, "invoke delete_note", "resume", "execute")
    by_name = {span.name: span for span in spans}
    assert by_name["invoke delete_note"].attributes["callbroker.state"] == "HELD"
    assert by_name["resume"].parent == by_name["invoke delete_note"].id
    assert by_name["resume"].attributes["callbroker.state"] == "SUCCEEDED"
    assert by_name["execute"].parent == by_name["resume"].id


def test_what_an_agent_says_of_its_own_trace_is_a_link(office: Traced):
    done = invoked(office.shop, office.shop.session(), traceparent=f"00-{THEIRS}-{THEIR_SPAN}-01")
    [first] = [s for s in office.of(done.name, "invoke refund") if s.name == "invoke refund"]
    assert first.links == ((THEIRS, THEIR_SPAN),)
    assert not first.parent
    assert first.trace != THEIRS


def test_a_tool_can_go_on_in_the_trace_of_its_call(office: Traced):
    shop = office.shop
    token = shop.operator.create_token("worker", "workers/book", tools=["ledger"])
    worker = Worker(shop.address, token, drain_s=1.0)

    @worker.tool("ledger")
    async def ledger(call: Call, line: str) -> str:
        return line + call.traceparent

    shop.loop.run(worker.start(timeout_s=30.0))
    try:
        done = shop.invoke(shop.session(), "ledger", {"line": ""})
    finally:
        shop.loop.run(worker.stop())
    [execute] = [s for s in office.of(done.name, "execute") if s.name == "execute"]
    assert json.loads(done.result_json) == f"00-{execute.trace}-{execute.id}-03"


def test_no_word_of_a_call_leaves_in_a_span(office: Traced):
    """Arguments, results, names that an agent makes up, principals and secrets: in no byte."""
    shop = office.shop
    session = shop.session(words=[f"My {CANARY}"])
    done = [
        shop.invoke(session, "read_note", {"note_id": CANARY}),
        shop.invoke(session, CANARY, {CANARY: CANARY}, request_id=CANARY),
        shop.invoke(session, "refund", {"order_id": CANARY, "amount_minor": 1, "note": CANARY}),
        invoked(
            shop,
            session,
            tracestate=f"x={CANARY}",
            baggage=f"x={CANARY}",
            traceparent=f"00-{CANARY}",
        ),
    ]
    for one in done:
        office.of(one.name, "record")
    with contextlib.suppress(Exception):
        shop.invoke(Session(name=CANARY, secret=CANARY, mandate="", agent=session.agent), "x", {})
    last = shop.refund(shop.session())
    office.of(last.name, "invoke refund")
    body = b"".join(one.body for one in office.receiver.received)
    assert done[0].state == types_pb2.Invocation.STATE_SUCCEEDED
    for word in (CANARY, "customers/", session.secret, "lead-1", "127.0.0.1"):
        assert word.encode() not in body, word


def test_what_became_of_spans_is_among_the_figures(office: Traced):
    done = office.shop.refund(office.shop.session())
    office.of(done.name, "invoke refund")
    line = http.client.HTTPConnection("127.0.0.1", office.shop.application.metrics_port, timeout=30)
    try:
        line.request("GET", "/metrics")
        figures = line.getresponse().read().decode()
    finally:
        line.close()
    assert 'callbroker_spans_dropped_total{reason="queue_full"} 0.0' in figures
    [exported] = [
        x for x in figures.splitlines() if x.startswith("callbroker_spans_exported_total")
    ]
    assert float(exported.split()[1]) > 0


def test_what_was_told_last_is_sent_before_the_broker_ends():
    with traced() as office:
        done = office.shop.refund(office.shop.session())
        office.shop.loop.run(office.shop.application.stop())
        trace = done.name.rpartition("/")[2].replace("-", "")
        assert trace in {span.trace for span in told(office.receiver.received)}
