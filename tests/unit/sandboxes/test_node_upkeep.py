"""A node whose engine is absent, dies, comes back or does not let go of a container."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sandboxes.engine import EngineUnavailable
from sandboxes.node import Node
from sandboxes.refusals import Reason, Refused
from sandboxes.supervise import Ending
from tests.fake_node import CALL, made, ran, reserved, until
from tests.fakes.engine import (
    ABSENT,
    DIGEST,
    OTHER_DIGEST,
    FakeEngine,
    echo,
    silent,
)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine({DIGEST: echo, OTHER_DIGEST: silent})


@pytest.fixture
async def node(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[Node]:
    started = made(engine, tmp_path)
    await started.start()
    yield started
    await started.close()


async def test_an_engine_that_is_absent_at_start_is_waited_for(
    engine: FakeEngine, tmp_path: Path
) -> None:
    engine.trouble = EngineUnavailable(ABSENT)
    node = made(engine, tmp_path)
    await node.start()
    with pytest.raises(Refused) as refused:
        await reserved(node)
    engine.come_back()
    await until(lambda: not node.problem)
    done = await ran(node)
    await node.close()

    assert refused.value.reason is Reason.ENGINE_UNAVAILABLE
    assert str(refused.value) == ABSENT
    assert done.outcome.ending is Ending.ANSWERED


async def test_an_engine_that_stays_absent_is_told_once(engine: FakeEngine, tmp_path: Path) -> None:
    engine.trouble = EngineUnavailable(ABSENT)
    node = made(engine, tmp_path)
    with capture_logs() as logged:
        await node.start()
        looked = engine.calls.count("facts")
        await until(lambda: engine.calls.count("facts") >= looked + 2)
        await node.close()

    assert [each["why"] for each in logged if each["event"] == "engine_lost"] == [ABSENT]


async def test_a_call_whose_engine_dies_is_unknown_and_later_ones_are_refused(
    node: Node, engine: FakeEngine
) -> None:
    reservation = await reserved(node, OTHER_DIGEST)
    running = asyncio.create_task(node.run(reservation, CALL))
    await until(lambda: node.runs == 1)
    engine.die()

    done = await running
    node.release(reservation)
    with pytest.raises(Refused) as refused:
        await reserved(node)

    assert (done.outcome.ending, done.outcome.code) == (Ending.UNKNOWN, "ENGINE_LOST")
    assert done.outcome.exit_code is None
    assert refused.value.reason is Reason.ENGINE_UNAVAILABLE


async def test_an_engine_that_restarts_under_a_call_leaves_it_unknown_although_it_answers_again(
    node: Node, engine: FakeEngine
) -> None:
    reservation = await reserved(node, OTHER_DIGEST)
    running = asyncio.create_task(node.run(reservation, CALL))
    await until(lambda: node.runs == 1)
    engine.die()
    engine.come_back()

    done = await running
    node.release(reservation)

    assert (done.outcome.ending, done.outcome.code) == (Ending.UNKNOWN, "ENGINE_LOST")


async def test_a_container_that_an_engine_ends_on_its_own_way_out_did_not_die_by_itself(
    node: Node, engine: FakeEngine
) -> None:
    reservation = await reserved(node, OTHER_DIGEST)
    running = asyncio.create_task(node.run(reservation, CALL))
    await until(lambda: node.runs == 1)
    engine.refusing["ping"] = EngineUnavailable(ABSENT)
    engine.made[-1].exit(137)

    done = await running
    node.release(reservation)

    assert (done.outcome.ending, done.outcome.code) == (Ending.UNKNOWN, "ENGINE_LOST")
    assert done.outcome.exit_code is None


async def test_waiting_containers_of_a_lost_engine_are_set_aside_and_replaced(
    engine: FakeEngine, tmp_path: Path
) -> None:
    node = made(engine, tmp_path, warm=2)
    await node.start()
    await ran(node)
    await until(lambda: len(engine.there) == 2)
    before = set(engine.there)
    engine.die()
    await until(lambda: node.quarantined == 2)
    engine.come_back()
    await until(lambda: node.quarantined == 0 and len(engine.there) == 2)
    after = set(engine.there)
    done = await ran(node)
    await node.close()

    assert not before & after
    assert done.outcome.ending is Ending.ANSWERED


async def test_another_engine_on_the_socket_has_its_images_looked_into_anew(
    engine: FakeEngine, tmp_path: Path
) -> None:
    node = made(engine, tmp_path, warm=1)
    await node.start()
    await ran(node)
    engine.die()
    engine.come_back("ANOTHER")
    await until(lambda: not node.problem)
    await ran(node)
    await node.close()

    assert engine.calls.count("file_modes") == 2
    assert not engine.there


async def test_a_container_that_cannot_be_removed_counts_until_it_is_gone(
    node: Node, engine: FakeEngine
) -> None:
    engine.refusing["remove"] = EngineUnavailable("It did not remove a container.")
    await ran(node)
    await until(lambda: node.quarantined == 1)
    kept = node.pools.count
    del engine.refusing["remove"]
    await node._upkeep.reap()

    assert kept == 1
    assert (node.quarantined, node.pools.count, len(engine.there)) == (0, 0, 0)


async def test_leftovers_of_this_node_are_removed_at_start_and_those_of_others_are_not(
    engine: FakeEngine, tmp_path: Path
) -> None:
    mine = {"Image": DIGEST, "Labels": {"callbroker.sandboxd": "node", "callbroker.run": "x"}}
    others = {"Image": DIGEST, "Labels": {"callbroker.sandboxd": "other", "callbroker.run": "x"}}
    await engine.create("mine", mine)
    kept = await engine.create("others", others)
    (tmp_path / "callbroker-left").mkdir()
    (tmp_path / "callbroker-left" / "proxy.sock").touch()
    node = made(engine, tmp_path)
    await node.start()

    left = list(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs
    await node.close()

    assert list(engine.there) == [kept]
    assert not left
