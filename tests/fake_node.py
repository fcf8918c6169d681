"""A node over a fake engine, for tests of its parts."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sandboxes import profiles
from sandboxes.containers import Surroundings
from sandboxes.egress.outside import Outside
from sandboxes.node import Node, NodeOrder, Ran, Reservation
from sandboxes.pool import PoolLimits
from sandboxes.supervise import CallOrder
from sandboxes.uids import Uids
from tests.fakes.engine import DIGEST, FakeEngine

CALL = CallOrder(input_json=b'{"a":1}', deadline_s=5.0)
DEADLINE_S = 10.0


def made(
    engine: FakeEngine, directory: Path, *, warm: int = 0, most: int = 4, **more: float
) -> Node:
    order = NodeOrder(
        around=Surroundings(
            node_id="node",
            directory=directory,
            uids=Uids(),
            outside=Outside(now=lambda: 0.0),
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        ),
        profiles=profiles.shipped(),
        limits=PoolLimits(warm=warm, containers_max=most, **more),
    )
    return Node(engine, order)


async def reserved(
    node: Node, image: str = DIGEST, *, profile: str = "strict", wait_s: float = 5.0
) -> Reservation:
    return await node.reserve(image=image, profile=profile, profile_digest="", wait_s=wait_s)


async def ran(node: Node, image: str = DIGEST, call: CallOrder = CALL) -> Ran:
    reservation = await reserved(node, image)
    try:
        return await node.run(reservation, call)
    finally:
        node.release(reservation)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.005)
