"""A tool wears its node out: by what cannot be removed, never loads, or is asked for all the time.

What one image does to a node costs that image's own callers: a node goes on serving all others, and
what it holds stays within its bounds.
"""

import asyncio
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sandboxes import docker_words, profiles
from sandboxes.containers import Surroundings
from sandboxes.egress.outside import Outside
from sandboxes.engine import EngineRefused
from sandboxes.image_findings import AT_A_TIME
from sandboxes.node import Node, NodeOrder, Ran, Reservation
from sandboxes.pool import STARTS_MAX, PoolLimits
from sandboxes.refusals import Refused
from sandboxes.slot import NODE_LABEL, RUN_LABEL
from sandboxes.supervise import CallOrder, Ending
from sandboxes.uids import Uids
from tests.fakes.engine import (
    DIGEST,
    OTHER_DIGEST,
    FakeContainer,
    FakeEngine,
    Program,
    echo,
    silent,
)

CALL = CallOrder(input_json=b"{}", deadline_s=5.0)
DEADLINE_S = 20.0


async def never_ready(_: FakeContainer) -> None:
    """Sleeps where its tool is loaded."""
    await asyncio.Event().wait()


async def dead(container: FakeContainer) -> None:
    """Ends before it is ready."""
    container.exit(3)


async def nodes_of(engine: FakeEngine, directory: Path, **limits: int) -> AsyncIterator[Node]:
    order = NodeOrder(
        around=Surroundings(
            node_id="node",
            directory=directory,
            uids=Uids(),
            outside=Outside(now=lambda: 0.0),
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        ),
        profiles=profiles.shipped(),
        limits=PoolLimits(**{"warm": 0, "containers_max": 4, **limits}),
    )
    node = Node(engine, order)
    await node.start()
    yield node
    engine.stuck.clear()
    await node.close()


node_of = contextlib.asynccontextmanager(nodes_of)


async def reserved(node: Node, image: str = DIGEST, *, wait_s: float = DEADLINE_S) -> Reservation:
    return await node.reserve(image=image, profile="strict", profile_digest="", wait_s=wait_s)


async def ran(node: Node, image: str = DIGEST, *, wait_s: float = DEADLINE_S) -> Ran:
    reservation = await reserved(node, image, wait_s=wait_s)
    try:
        return await node.run(reservation, CALL)
    finally:
        node.release(reservation)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_container_that_cannot_be_removed_costs_its_place_and_no_more(
    tmp_path: Path,
) -> None:
    """Hang in the kernel, so that I cannot be removed, and have the node give up over me."""
    engine = FakeEngine()
    async with node_of(engine, tmp_path) as node:
        reservation = await reserved(node)
        engine.stuck.add(reservation.slot.container)
        await node.run(reservation, CALL)
        node.release(reservation)
        await until(lambda: node.quarantined == 1)

        await node._upkeep.reap()

        assert node.problem == ""
        assert node.quarantined == node.pools.count == 1
        assert (await ran(node)).outcome.ending is Ending.ANSWERED
        engine.stuck.clear()
        await node._upkeep.reap()
        assert node.quarantined == 0


async def test_a_leftover_that_stays_does_not_keep_a_node_from_starting(tmp_path: Path) -> None:
    """The same, across the node's restart, where nobody knows me any more."""
    engine = FakeEngine()
    labels = {NODE_LABEL: "node", RUN_LABEL: "callbroker-of-before"}
    stays = await engine.create("callbroker-of-before", {"Image": DIGEST, "Labels": labels})
    goes = await engine.create("another", {"Image": DIGEST, "Labels": {NODE_LABEL: "node"}})
    engine.stuck.add(stays)
    async with node_of(engine, tmp_path) as node:
        assert goes not in engine.there
        assert (await ran(node)).outcome.ending is Ending.ANSWERED


class StickyEngine(FakeEngine):
    """Removes nothing that it has ever started."""

    async def start(self, container: str) -> None:
        self.stuck.add(container)
        await super().start(container)


async def test_starts_that_fail_and_cannot_be_removed_count(tmp_path: Path) -> None:
    """Die before I am ready and stay, again and again, until the machine is full of me."""
    engine = StickyEngine({DIGEST: dead})
    async with node_of(engine, tmp_path) as node:
        for _ in range(12):
            with contextlib.suppress(Refused):
                await reserved(node, wait_s=0.05)

        assert len(engine.there) == 4
        assert node.pools.count == node.quarantined == 4


async def test_a_tool_that_is_asked_for_all_the_time_leaves_others_their_turn(
    tmp_path: Path,
) -> None:
    """Have so many calls wait for my tool that what comes free is always mine."""
    engine = FakeEngine({DIGEST: silent, OTHER_DIGEST: echo})
    async with node_of(engine, tmp_path, containers_max=2) as node:

        async def greedy() -> None:
            while True:
                reservation = await reserved(node)
                await asyncio.sleep(0.01)
                reservation.cancelled.set()
                node.release(reservation)

        asking = [asyncio.create_task(greedy()) for _ in range(6)]
        await until(lambda: len(engine.made) > 20)

        outcomes = [(await ran(node, OTHER_DIGEST)).outcome for _ in range(3)]

        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert {each.ending for each in outcomes} == {Ending.ANSWERED}


async def test_tools_that_never_load_leave_others_a_start(tmp_path: Path) -> None:
    """Sleep where my tool is loaded, as often as a node starts containers side by side."""
    engine = FakeEngine({DIGEST: never_ready, OTHER_DIGEST: echo})
    async with node_of(engine, tmp_path, containers_max=16) as node:
        asking = [asyncio.create_task(reserved(node)) for _ in range(STARTS_MAX)]
        await until(lambda: len(engine.made) == STARTS_MAX)

        assert (await ran(node, OTHER_DIGEST)).outcome.ending is Ending.ANSWERED

        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for container in engine.made:
            container.exit(1)


class SlowReader(FakeEngine):
    """Takes as long as `gate` says to read an image, by a container that is there meanwhile."""

    def __init__(self, images: Mapping[str, Program]) -> None:
        super().__init__(images)
        self.gate = asyncio.Event()
        self.reading: list[str] = []

    async def file_modes(
        self, digest: str, *, labels: Mapping[str, str]
    ) -> Sequence[tuple[str, int]]:
        self.reading.append(await self.create("reading", {"Image": digest, "Labels": labels}))
        await self.gate.wait()
        return await super().file_modes(digest, labels=labels)


async def test_many_images_are_looked_into_a_few_at_a_time(tmp_path: Path) -> None:
    """Have many large images asked for at once, each of which keeps one of the engine's threads."""
    images = {f"sha256:{number:064x}": echo for number in range(12)}
    engine = SlowReader(images)
    async with node_of(engine, tmp_path) as node:
        asking = [asyncio.create_task(ran(node, image)) for image in images]
        await until(lambda: engine.calls.count("image") == len(images))
        side_by_side = len(engine.reading)
        engine.gate.set()
        ended = await asyncio.gather(*asking)

    assert side_by_side == AT_A_TIME
    assert all(each.outcome.ending is Ending.ANSWERED for each in ended)


async def test_what_an_image_is_read_by_is_the_nodes_own_while_it_reads(tmp_path: Path) -> None:
    """Kill the node while it reads my image: what it read it by stays for good, with its disk."""
    engine = SlowReader({DIGEST: echo})
    async with node_of(engine, tmp_path) as node:
        asking = asyncio.create_task(ran(node))
        await until(lambda: bool(engine.reading))
        await node._upkeep.reap()
        was_there = engine.reading[0] in engine.there
        engine.gate.set()
        await asking
        await node._upkeep.reap()  # as the next process does: this engine left it behind

        assert was_there
        assert engine.reading[0] not in engine.there


def test_an_image_of_endless_files_is_not_read_to_its_end() -> None:
    """Bring a million empty files along, each of which the node keeps in memory."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in range(1_001):
            archive.addfile(tarfile.TarInfo(f"{number}"))
    packed.seek(0)

    exported = docker_words.Joined(iter(lambda: packed.read(65_536), b""))
    with pytest.raises(EngineRefused, match="over 1000 files"):
        docker_words.modes_of(exported, files_max=1_000)


async def test_how_a_container_ended_that_answered_is_in_the_log(tmp_path: Path) -> None:
    """Answer first, and die afterwards in a way that nobody reads."""
    engine = FakeEngine()
    with capture_logs() as logged:
        async with node_of(engine, tmp_path) as node:
            run = await reserved(node)
            await node.run(run, CALL)
            node.release(run)
            await until(lambda: not engine.there)

    (removed,) = [each for each in logged if each["event"] == "sandbox_ended"]
    assert (removed["exit_code"], removed["out_of_memory"]) == (0, False)
    assert removed["run"] == run.run
