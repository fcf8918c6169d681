"""One node on the session's engine, for attacks by what runs in its containers."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from tests.attacks.sandbox.programs import OBEYING
from tests.engine_api import ContainerEngine
from tests.sandbox_images import hostile_image
from tests.sandbox_nodes import NodeClient, serving

BRISK = """
name: brisk
description: strict with one second of processor time, for those who would use up more.
cpus: 1
cpu_s_max: 1
"""


@pytest.fixture(scope="module")
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    with TemporaryDirectory(prefix="cb-") as made:
        yield Path(made)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(container_engine: ContainerEngine, short_path: Path) -> AsyncIterator[NodeClient]:
    """A node that starts a container only when it is asked; nothing of it is left after.

    It serves all attacks of a file, one after another: none may harm it for the next.
    """
    profiles = short_path / "profiles"
    profiles.mkdir()
    (profiles / "brisk.yaml").write_text(BRISK, "utf-8")
    state = short_path / "state"
    async with serving(container_engine.url, state, warm=0, profiles=profiles) as client:
        yield client
        node_id = (state / "node_id").read_text("utf-8").strip()
    assert container_engine.containers(f"callbroker.sandboxd={node_id}") == []
    assert list((state / "egress").iterdir()) == []


@pytest.fixture(scope="session")
def obeying(container_engine: ContainerEngine) -> str:
    """An image whose program does whatever its input says."""
    return hostile_image(container_engine, OBEYING)
