"""`callbroker status` names each sandbox node, why one is away, and what workers lack."""

from broker.cli.status import status_picture
from broker.v1.admin_pb2 import (
    BrokerStatus,
    ChannelStatus,
    GetStatusResponse,
    SandboxNodeStatus,
    WorkerStatus,
)
from tests.unit.cli.holds_for_tests import AROUND

THERE = SandboxNodeStatus(
    address="unix:/run/a.sock", ready=True, warm=2, room=14, profiles=["compute", "strict"]
)
AWAY = SandboxNodeStatus(address="unix:/run/b.sock", problem="The engine\x1b[2J hangs.")


def drawn(*nodes: SandboxNodeStatus) -> str:
    return text(GetStatusResponse(broker="brokers/b", sandbox_nodes=nodes))


def text(told: GetStatusResponse) -> str:
    return "\n".join(line.plain for line in status_picture(told, "127.0.0.1:7400", AROUND))


def test_each_node_has_a_line():
    told = drawn(THERE, AWAY)
    assert "unix:/run/a.sock, ready, 2 warm, room for 14 more; compute, strict" in told
    assert "unix:/run/b.sock, away: The engine" in told


def test_what_a_node_says_cannot_act_on_a_terminal():
    assert "\x1b" not in drawn(AWAY)


def test_a_broker_with_nodes_and_no_worker_can_carry_calls_out():
    assert "nothing can be carried out" in drawn()
    assert "nothing can be carried out" not in drawn(THERE)


def test_a_worker_that_leaves_reviewers_without_a_preview_is_named():
    worker = WorkerStatus(
        name="workers/w1", tools=["pay", "refund"], free=1, slots=2, tools_without_preview=["pay"]
    )
    told = text(GetStatusResponse(workers=[worker]))
    assert "w1 pay, refund (1 of 2 slots free), no preview of pay" in told


def test_the_other_brokers_are_named_with_where_they_are():
    brokers = [
        BrokerStatus(broker="brokers/me", address="127.0.0.1:7400", version="1.0"),
        BrokerStatus(broker="brokers/other", address="10.0.0.2:7400", version="1.1"),
    ]
    told = text(GetStatusResponse(broker="brokers/me", brokers=brokers))
    assert "other at 10.0.0.2:7400, release 1.1" in told
    assert told.count("127.0.0.1:7400") == 1


def test_each_channel_says_how_it_does():
    well = ChannelStatus(name="chat", kind="webhook", target="https://chat.example.com", sent=7)
    ill = ChannelStatus(
        name="leads",
        kind="mail",
        target="lead@example.com by mail.example.com:587",
        due=3,
        given_up=2,
        problem="answered 535",
    )
    ill.oldest_due_time.FromSeconds(round(AROUND.now) - 120)
    told = " ".join(text(GetStatusResponse(channels=[well, ill])).split())
    assert "Told chat (webhook) to https://chat.example.com, 7 told leads (mail)" in told
    assert "3 due for 2 min, 2 given up, last: answered 535" in told
