"""Nodes are known, asked, left and found again; those elsewhere are spoken to over mutual TLS."""

import asyncio
from pathlib import Path

import grpc
import pytest

from broker.core.errors import RunnerUnavailable
from broker.core.manifest import ToolManifest, parse
from broker.sandbox_nodes.node import NodeTls
from broker.sandbox_nodes.runner import SandboxRunner
from broker.tools.runners import Runners
from sandboxes.v1 import sandboxes_pb2_grpc as pb_grpc
from tests.attacks.sandboxed import SANDBOXED
from tests.fakes.sandbox_node import (
    IMAGE,
    FakeNode,
    Servicer,
    digest,
    obedient,
    profile,
    refusing,
    sandbox_node,
)
from tests.unit.sandbox_nodes.authority import Authority
from tests.world import REFUND

COMPUTE = digest("compute")


def manifest() -> ToolManifest:
    return parse(SANDBOXED)


async def until(condition) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_each_node_offers_is_known_after_the_start(tmp_path: Path):
    async with (
        sandbox_node(tmp_path, name="a") as a,
        sandbox_node(tmp_path, name="b", profiles=(profile("strict", because="No."),)) as b,
    ):
        runner = SandboxRunner([a.address, b.address])
        await runner.start()
        offered = runner.offered()
        assert [p.name for p in offered] == ["strict", "compute", "egress", "gvisor", "strict"]
        assert (offered[-1].available, offered[-1].unavailable_because) == (False, "No.")
        await runner.close()
        await runner.close()


async def test_calls_go_to_warm_slots_first_and_then_where_there_is_room(tmp_path: Path):
    async with (
        sandbox_node(tmp_path, name="a", warm={(IMAGE, "compute"): 1}, room=0) as a,
        sandbox_node(tmp_path, name="b", room=2) as b,
        sandbox_node(tmp_path, name="c", room=1) as c,
    ):
        runner = SandboxRunner([c.address, b.address, a.address], interval_s=60.0)
        await runner.start()
        slots = [await runner.reserve(manifest(), profile=COMPUTE, wait_s=5.0) for _ in range(4)]
        asked = (len(a.reserved), len(b.reserved), len(c.reserved))
        for slot in slots:
            slot.release()
            slot.release()
        await until(lambda: a.left + b.left + c.left == 4)
        assert asked == (1, 2, 1)
        assert [*a.called, *b.called, *c.called] == []
        await runner.close()


async def test_a_node_that_is_not_healthy_is_not_asked_and_its_problem_is_told(tmp_path: Path):
    async with sandbox_node(tmp_path, problem="The engine hangs.") as node:
        runner = SandboxRunner([node.address], away_wait_s=0.1)
        await runner.start()
        with pytest.raises(RunnerUnavailable, match="The engine hangs"):
            await runner.reserve(manifest(), profile=COMPUTE, wait_s=5.0)
        assert not node.reserved
        assert runner.offered()
        await runner.close()


async def test_a_node_that_nobody_started_is_told_with_what_starts_it(tmp_path: Path):
    runner = SandboxRunner([f"unix:{tmp_path}/nobody.sock"])
    await runner.start()
    (view,) = runner.views
    assert not view.is_ready
    assert "start `callbroker sandboxd` there" in view.problem
    assert "failed to connect to all addresses" not in view.problem
    await runner.close()


async def test_a_refusal_that_will_not_pass_is_told_at_once(tmp_path: Path):
    refused = refusing(grpc.StatusCode.NOT_FOUND, "There is no such image here.")
    async with sandbox_node(tmp_path, refused) as node:
        runner = SandboxRunner([node.address], away_wait_s=60.0)
        await runner.start()
        with pytest.raises(RunnerUnavailable, match="no such image"):
            await runner.reserve(manifest(), profile=COMPUTE, wait_s=60.0)
        assert len(node.reserved) == 1
        await runner.close()


async def test_a_node_that_hangs_is_away_until_it_answers_again(tmp_path: Path):
    async with sandbox_node(tmp_path) as node:
        runner = SandboxRunner([node.address], interval_s=0.05)
        await runner.start()
        node.is_silent = True
        await until(lambda: not runner.views[0].is_ready)
        assert "time" in runner.views[0].problem.lower() or "DEADLINE" in runner.views[0].problem
        node.is_silent = False
        await until(lambda: runner.views[0].is_ready)
        await runner.close()


async def test_a_place_that_is_given_up_while_it_is_waited_for_is_given_back(tmp_path: Path):
    async def slow(node, requests, context):
        del context
        node.reserved.append((await anext(requests)).reserve)
        await node.going.wait()
        yield node.ready()

    async with sandbox_node(tmp_path, slow) as node:
        node.going.clear()
        runner = SandboxRunner([node.address])
        await runner.start()
        asking = asyncio.create_task(runner.reserve(manifest(), profile=COMPUTE, wait_s=5.0))
        await until(lambda: node.reserved)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: node.left == 1)
        await runner.close()


async def test_an_address_beyond_this_machine_needs_tls():
    with pytest.raises(ValueError, match="TLS"):
        SandboxRunner(["sandboxes.example.com:7410"])


async def test_a_node_elsewhere_is_known_by_its_certificate_and_knows_the_broker_by_its_own():
    nodes, strangers = Authority("nodes"), Authority("strangers")
    key, certificate = nodes.issue("localhost")
    node = FakeNode(address="", manners=[obedient])
    node.going.set()
    server = grpc.aio.server()
    pb_grpc.add_SandboxServiceServicer_to_server(Servicer(node), server)
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=nodes.pem, require_client_auth=True
    )
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()

    async def is_ready(ca: Authority, client: Authority) -> bool:
        private_key, chain = client.issue("broker")
        tls = NodeTls(ca=ca.pem, certificate_chain=chain, private_key=private_key)
        runner = SandboxRunner([f"localhost:{port}"], tls=tls)
        await runner.start()
        try:
            return runner.views[0].is_ready
        finally:
            await runner.close()

    assert await is_ready(nodes, nodes)
    assert not await is_ready(nodes, strangers)
    assert not await is_ready(strangers, nodes)
    await server.stop(None)


async def test_each_tool_is_carried_out_by_the_runner_that_its_manifest_names(tmp_path: Path):
    async with sandbox_node(tmp_path) as node:
        runner = SandboxRunner([node.address])
        await runner.start()
        runners = Runners({"sandbox": runner})
        (await runners.reserve(manifest(), profile=COMPUTE, wait_s=5.0)).release()
        with pytest.raises(RunnerUnavailable, match="No runner worker"):
            await runners.reserve(parse(REFUND), profile="", wait_s=5.0)
        await runner.close()
