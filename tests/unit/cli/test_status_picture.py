"""`callbroker status` names each sandbox node, and why one is away."""

from broker.cli.status import status_picture
from broker.v1.admin_pb2 import GetStatusResponse, SandboxNodeStatus
from tests.unit.cli.holds_for_tests import AROUND

THERE = SandboxNodeStatus(
    address="unix:/run/a.sock", ready=True, warm=2, room=14, profiles=["compute", "strict"]
)
AWAY = SandboxNodeStatus(address="unix:/run/b.sock", problem="The engine\x1b[2J hangs.")


def drawn(*nodes: SandboxNodeStatus) -> str:
    told = GetStatusResponse(broker="brokers/b", sandbox_nodes=nodes)
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
