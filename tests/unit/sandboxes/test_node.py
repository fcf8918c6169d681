"""The node over a fake engine: whom it refuses, and what it keeps."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandboxes import profiles
from sandboxes.entry.frames import READY
from sandboxes.node import Node
from sandboxes.refusals import Reason, Refused
from sandboxes.supervise import CallOrder, Ending
from tests.fake_node import CALL, made, ran, reserved, until
from tests.fakes.engine import (
    DIGEST,
    OTHER_DIGEST,
    FakeContainer,
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


async def test_a_call_is_answered_and_its_container_is_gone(node: Node, engine: FakeEngine) -> None:
    done = await ran(node)

    assert done.outcome.ending is Ending.ANSWERED
    assert done.outcome.result_json == b'{"a":1}'
    await until(lambda: not engine.there)
    assert node.runs == 1


async def test_no_container_is_ever_asked_twice(engine: FakeEngine, tmp_path: Path) -> None:
    node = made(engine, tmp_path, warm=2)
    await node.start()

    for _ in range(20):
        await ran(node)
    await node.close()

    asked = [each for each in engine.made if each.state == "exited" and each.exit_code == 0]
    assert len(asked) == 20
    assert not engine.there


async def test_each_container_has_a_uid_and_a_name_of_its_own(
    node: Node, engine: FakeEngine
) -> None:
    held = [await reserved(node) for _ in range(4)]

    users = {each.body["User"] for each in engine.made}
    names = {each.body["Labels"]["callbroker.run"] for each in engine.made}
    for each in held:
        node.release(each)

    assert len(users) == len(names) == 4


async def test_what_was_reserved_and_never_asked_serves_the_next(
    node: Node, engine: FakeEngine
) -> None:
    first = await reserved(node)
    node.release(first)
    second = await reserved(node)
    done = await node.run(second, CALL)
    node.release(second)

    assert done.outcome.ending is Ending.ANSWERED
    assert (first.warm, second.warm) == (False, True)
    assert first.run != second.run
    assert len(engine.made) == 1


async def test_the_deadline_is_never_longer_than_the_profile_allows(
    node: Node, engine: FakeEngine
) -> None:
    profile = profiles.parse({**profiles.shipped()["strict"].document, "wall_s_max": 0.1})
    reservation = await reserved(node, OTHER_DIGEST)
    reservation.profile = profile

    done = await node.run(reservation, CallOrder(input_json=b"{}", deadline_s=9_999))
    node.release(reservation)

    assert done.outcome.code == "TOOL_TIMED_OUT"
    assert "0.1 s" in done.outcome.message
    await until(lambda: not engine.there)


async def test_a_cancelled_run_is_killed(node: Node, engine: FakeEngine) -> None:
    reservation = await reserved(node, OTHER_DIGEST)
    running = asyncio.create_task(node.run(reservation, CALL))
    await until(lambda: node.runs == 1)
    node.cancel(reservation.run)

    done = await running
    node.release(reservation)

    assert (done.outcome.ending, done.outcome.code) == (Ending.KILLED, "CANCELLED")
    await until(lambda: not engine.there)
    with pytest.raises(Refused, match="Nothing of that name"):
        node.cancel(reservation.run)


async def test_a_run_that_is_cancelled_before_its_call_is_never_asked(
    node: Node, engine: FakeEngine
) -> None:
    reservation = await reserved(node)
    node.cancel(reservation.run)
    done = await node.run(reservation, CALL)
    node.release(reservation)

    assert done.outcome.code == "CANCELLED"
    assert engine.made[0].stream.to_program.empty()
    await until(lambda: not engine.there)


async def test_an_image_is_looked_into_once(node: Node, engine: FakeEngine) -> None:
    await asyncio.gather(*(ran(node) for _ in range(4)))

    assert engine.calls.count("file_modes") == 1


async def test_an_image_that_is_unfit_is_refused_with_every_finding(
    node: Node, engine: FakeEngine
) -> None:
    engine.configs[DIGEST] = {"Volumes": {"/data": {}}, "User": "root"}

    with pytest.raises(Refused) as refused:
        await reserved(node)

    assert refused.value.reason is Reason.IMAGE_REFUSED
    assert "volume" in str(refused.value)
    assert "root" in str(refused.value)
    assert not engine.made


async def test_an_image_that_was_removed_is_looked_for_again(
    node: Node, engine: FakeEngine
) -> None:
    await ran(node)
    del engine.programs[DIGEST]
    with pytest.raises(Refused) as refused:
        await reserved(node)
    engine.programs[DIGEST] = echo

    assert refused.value.reason is Reason.IMAGE_NOT_FOUND
    assert (await ran(node)).outcome.ending is Ending.ANSWERED


async def test_a_profile_of_another_digest_is_refused(node: Node) -> None:
    with pytest.raises(Refused) as refused:
        await node.reserve(image=DIGEST, profile="strict", profile_digest=DIGEST, wait_s=1)

    assert refused.value.reason is Reason.PROFILE_CHANGED


async def test_what_speaks_while_it_waits_is_destroyed_and_replaced(
    engine: FakeEngine, tmp_path: Path
) -> None:
    talkers = 0

    async def talks_once(container: FakeContainer) -> None:
        nonlocal talkers
        talkers += 1
        if talkers == 2:
            container.stream.say(READY)
            await asyncio.sleep(0.01)
            container.stream.say(b"early")
            await asyncio.Event().wait()
        await echo(container)

    engine.programs[DIGEST] = talks_once
    node = made(engine, tmp_path, warm=1)
    await node.start()
    await ran(node)
    await until(lambda: talkers == 3)
    done = await ran(node)
    await node.close()

    assert done.outcome.ending is Ending.ANSWERED
    assert not engine.there


async def test_a_way_out_is_made_with_its_container_and_removed_with_it(
    node: Node, engine: FakeEngine, tmp_path: Path
) -> None:
    reservation = await reserved(node, profile="egress")
    directory = tmp_path / reservation.slot.order.name
    was_there = directory.is_dir()
    done = await node.run(reservation, CALL)
    node.release(reservation)
    await until(lambda: not engine.there)

    assert was_there
    assert not directory.exists()
    assert engine.made[0].body["HostConfig"]["Mounts"][0]["Source"] == str(directory)
    assert done.outcome.ending is Ending.ANSWERED


async def test_closing_removes_everything_also_what_is_at_work(
    engine: FakeEngine, tmp_path: Path
) -> None:
    node = made(engine, tmp_path, warm=2)
    await node.start()
    reservation = await reserved(node, OTHER_DIGEST)
    running = asyncio.create_task(node.run(reservation, CALL))
    await until(lambda: node.runs == 1)
    await node.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert not engine.there
    assert engine.closed
