"""`callbroker sandboxd` as a process, and over an engine that is killed, hung and restarted."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sandboxes.v1 import sandboxes_pb2 as pb
from tests.attacks.sandbox.programs import OBEYING, orders
from tests.engine import OwnEngine
from tests.engine_api import ContainerEngine
from tests.sandbox_images import hostile_image, tool_image
from tests.sandbox_nodes import NodeClient, NodeProcess, serving

STAY = orders("time.sleep(600)")


@pytest.fixture
def short_path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="cb-") as made:
        yield Path(made)


def left(engine: ContainerEngine, state: Path) -> list[str]:
    """Containers of the node of a state directory."""
    node_id = (state / "node_id").read_text("utf-8").strip()
    return engine.containers(f"callbroker.sandboxd={node_id}")


async def test_it_serves_and_leaves_nothing_when_it_is_told_to_stop(
    container_engine: ContainerEngine, short_path: Path
) -> None:
    node = NodeProcess(container_engine.url, short_path / "state")
    await node.start()
    async with NodeClient(node.address) as client:
        result = await client.run(tool_image(container_engine), {"a": 1})
        await client.until(lambda health: any(pool.warm == 2 for pool in health.pools))
    code = await node.stop()

    assert result.ending == pb.ENDING_ANSWERED
    assert code == 0
    assert left(container_engine, node.state) == []
    assert {each.name for each in node.state.iterdir()} == {
        "containers",
        "egress",
        "lock",
        "node_id",
    }


async def test_after_a_kill_it_removes_its_own_leftovers_and_serves_again(
    container_engine: ContainerEngine, short_path: Path
) -> None:
    node = NodeProcess(container_engine.url, short_path / "state")
    await node.start()
    async with NodeClient(node.address) as client:
        await client.run(tool_image(container_engine), profile="egress")
        await client.until(lambda health: any(pool.warm == 2 for pool in health.pools))
    await node.stop(signal.SIGKILL)
    before = left(container_engine, node.state)
    await node.start()
    async with NodeClient(node.address) as client:
        await client.health()  # it listens before it serves
        between = set(left(container_engine, node.state)) & set(before)
        result = await client.run(tool_image(container_engine))
    await node.stop()

    assert before
    assert not between
    assert result.ending == pb.ENDING_ANSWERED
    assert left(container_engine, node.state) == []


async def test_a_second_one_on_the_same_state_does_not_start_and_harms_nobody(
    container_engine: ContainerEngine, short_path: Path
) -> None:
    node = NodeProcess(container_engine.url, short_path / "state")
    await node.start()
    process = await asyncio.create_subprocess_exec(
        *NodeProcess.COMMAND,
        env=node.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    async with NodeClient(node.address) as client:
        result = await client.run(tool_image(container_engine))
    await node.stop()

    assert process.returncode == 2
    assert b"Another sandboxd runs with" in said
    assert result.ending == pb.ENDING_ANSWERED


async def test_without_an_engine_it_starts_and_says_what_is_wrong(short_path: Path) -> None:
    node = NodeProcess("unix:///nowhere/docker.sock", short_path / "state")
    await node.start()
    async with NodeClient(node.address) as client:
        health = await client.health()
        refused = await client.refusal("sha256:" + "0" * 64)
    code = await node.stop()

    assert not health.healthy
    assert refused.reason == "ENGINE_UNAVAILABLE"
    assert "/nowhere/docker.sock" in refused.message
    assert code == 0


@pytest.fixture(scope="module")
def shaken_engine() -> Iterator[OwnEngine]:
    """An engine that the tests below may do anything to."""
    with OwnEngine() as own:
        yield own


@pytest.fixture
async def shaken(shaken_engine: OwnEngine, short_path: Path) -> AsyncIterator[NodeClient]:
    """A node on that engine."""
    async with serving(shaken_engine.url, short_path / "state", warm=1) as client:
        yield client
    assert left(shaken_engine, short_path / "state") == []


async def under_way(node: NodeClient, image: str, deadline_s: float) -> "asyncio.Task[pb.Result]":
    """A call that was handed over and stays."""
    before = (await node.health()).runs
    staying = asyncio.create_task(node.run(image, STAY, deadline_s=deadline_s))
    await node.until(lambda health: health.runs > before)
    return staying


@pytest.mark.parametrize("how", ["killed", "restarted"])
async def test_an_engine_that_goes_away_leaves_its_calls_unknown_and_is_used_again_once_back(
    how: str, shaken: NodeClient, shaken_engine: OwnEngine
) -> None:
    obeying, honest = hostile_image(shaken_engine, OBEYING), tool_image(shaken_engine)
    staying = await under_way(shaken, obeying, deadline_s=20)
    if how == "killed":
        await asyncio.to_thread(shaken_engine.kill)
        refused = await shaken.refusal(honest)
        assert refused.reason == "ENGINE_UNAVAILABLE"
        await asyncio.to_thread(shaken_engine.start)
    else:
        await asyncio.to_thread(shaken_engine.restart)
    result = await staying
    await shaken.until(lambda health: health.healthy and not health.quarantined)
    served = await shaken.run(honest)

    assert (result.ending, result.code) == (pb.ENDING_UNKNOWN, "ENGINE_LOST")
    assert served.ending == pb.ENDING_ANSWERED


async def test_an_engine_that_hangs_holds_nobody_beyond_a_deadline(
    shaken: NodeClient, shaken_engine: OwnEngine
) -> None:
    obeying, honest = hostile_image(shaken_engine, OBEYING), tool_image(shaken_engine)
    await shaken.run(honest)
    staying = await under_way(shaken, obeying, deadline_s=2)
    await asyncio.to_thread(shaken_engine.hang)
    result = await staying
    await shaken.until(lambda health: not health.healthy)
    refused = await shaken.refusal(honest)
    await asyncio.to_thread(shaken_engine.resume)
    await shaken.until(lambda health: health.healthy and not health.quarantined)
    served = await shaken.run(honest)

    assert (result.ending, result.code) == (pb.ENDING_UNKNOWN, "ENGINE_LOST")
    assert refused.reason == "ENGINE_UNAVAILABLE"
    assert served.ending == pb.ENDING_ANSWERED
