"""What every container engine behind the port does, the real one and the fake."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import pytest

from sandboxes.docker_engine import DockerEngine
from sandboxes.engine import Engine, NotThere, Stream
from sandboxes.entry.frames import READY, Question, encode_question
from tests.engine_api import ContainerEngine
from tests.fakes.engine import DIGEST, FakeEngine
from tests.sandbox_images import ECHO, tool_image

NOBODY = "sha256:" + "0" * 64
DEADLINE_S = 30.0


@dataclass(frozen=True)
class Offered:
    """An engine, and an image that it has whose tool echoes."""

    engine: Engine
    image: str
    label: str

    def body(self) -> dict[str, Any]:
        return {
            "Image": self.image,
            "Labels": {"callbroker.contract": self.label},
            "Tty": False,
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
        }

    async def waiting(self) -> tuple[str, Stream]:
        """A container that has said that it is ready."""
        container = await self.engine.create(f"callbroker-contract-{token_hex(6)}", self.body())
        stream = await self.engine.attach(container)
        await self.engine.start(container)
        async with asyncio.timeout(DEADLINE_S):
            assert await stream.receive() == (1, READY)
        return container, stream


@pytest.fixture(params=["fake", "docker"])
async def offered(
    request: pytest.FixtureRequest, container_engine: ContainerEngine
) -> AsyncIterator[Offered]:
    engine: Engine
    if request.param == "fake":
        engine, image = FakeEngine(), DIGEST
    else:
        engine = DockerEngine(container_engine.url)
        image = tool_image(container_engine, ECHO)
    label = token_hex(6)
    yield Offered(engine, image, label)
    for found in await engine.containers(f"callbroker.contract={label}"):
        await engine.remove(found.container)
    await engine.close()


async def test_it_says_what_it_is(offered: Offered) -> None:
    facts = await offered.engine.facts()

    assert facts.engine_id
    assert facts.architecture in {"x86_64", "aarch64"}
    assert facts.cgroup_version in {1, 2}
    assert "runc" in facts.runtimes
    await offered.engine.ping()


async def test_an_image_is_found_by_its_digest_alone(offered: Offered) -> None:
    facts = await offered.engine.image(offered.image)

    assert facts.digest == offered.image
    assert facts.labels["callbroker.sandbox"] == "1"
    assert facts.config["Entrypoint"]
    assert offered.image in {
        each.digest for each in await offered.engine.images("callbroker.sandbox=1")
    }
    with pytest.raises(NotThere):
        await offered.engine.image(NOBODY)


async def test_an_images_files_are_listed_with_kind_and_mode(offered: Offered) -> None:
    modes = dict(
        await offered.engine.file_modes(
            offered.image, labels={"callbroker.contract": offered.label}
        )
    )

    assert modes["/callbroker/entry.py"] == 0o100644
    assert await offered.engine.containers("callbroker.contract=files") == []


async def test_a_container_of_an_image_that_is_not_there_is_not_made(offered: Offered) -> None:
    with pytest.raises(NotThere):
        await offered.engine.create("callbroker-nothing", {**offered.body(), "Image": NOBODY})


async def test_a_question_comes_back_answered_and_the_container_ends(offered: Offered) -> None:
    container, stream = await offered.waiting()
    assert not stream.pending()
    assert (await offered.engine.state(container)).running

    await stream.send(encode_question(Question(nonce="n" * 32, input_json=b'{"a":1}')))
    said = b""
    async with asyncio.timeout(DEADLINE_S):
        while (piece := await stream.receive()) is not None:
            assert piece[0] == 1
            said += piece[1]
    stream.close()
    ended = await offered.engine.ended(container, within_s=DEADLINE_S)

    assert json.loads(said[8 : 8 + int.from_bytes(said[4:8], "big")])["nonce"] == "n" * 32
    assert ended is not None
    assert (ended.running, ended.exit_code, ended.out_of_memory) == (False, 0, False)


async def test_a_kill_ends_it_and_a_second_one_is_no_error(offered: Offered) -> None:
    container, stream = await offered.waiting()

    assert await offered.engine.ended(container, within_s=0.05) is None
    await offered.engine.kill(container)
    ended = await offered.engine.ended(container, within_s=DEADLINE_S)
    await offered.engine.kill(container)

    assert ended is not None
    assert ended.exit_code == 137
    async with asyncio.timeout(DEADLINE_S):
        assert await stream.receive() is None
    stream.close()
    stream.close()


async def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(offered: Offered) -> None:
    container, stream = await offered.waiting()
    label = f"callbroker.contract={offered.label}"
    assert [each.container for each in await offered.engine.containers(label)] == [container]

    stream.close()
    await offered.engine.remove(container)
    await offered.engine.remove(container)
    await offered.engine.kill(container)

    assert await offered.engine.containers(label) == []
    with pytest.raises(NotThere):
        await offered.engine.state(container)


async def test_a_container_that_never_started_is_listed_and_removed(offered: Offered) -> None:
    container = await offered.engine.create("callbroker-contract-still", offered.body())
    label = f"callbroker.contract={offered.label}"

    found = await offered.engine.containers(label)
    await offered.engine.remove(container)

    assert [(each.container, each.state) for each in found] == [(container, "created")]
    assert await offered.engine.containers(label) == []


async def test_a_watch_on_an_engine_that_answers_hears_nothing(offered: Offered) -> None:
    heard: list[str] = []

    await offered.engine.watch(lambda: heard.append("lost"))
    await offered.engine.watch(lambda: heard.append("lost"))
    await offered.engine.ping()

    assert (heard, offered.engine.interruptions) == ([], 0)
