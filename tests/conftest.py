"""What tests of every folder may share: real container engines, and a clock that judges nobody."""

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from tests.base_images import import_python
from tests.engine import OwnEngine
from tests.engine_api import ContainerEngine, existing
from tests.supplied_images import base_of

# Brokers of tests have pages too, each on a port of its own.
os.environ["CALLBROKER_WEB__LISTEN"] = "127.0.0.1:0"

# How long an example takes says how busy the machine is, not whether it is right.
settings.register_profile("callbroker", deadline=None)
settings.load_profile("callbroker")


@pytest.fixture(scope="session")
def container_engine() -> Iterator[ContainerEngine]:
    """One engine for all tests that leave it running; label what you make, and remove it."""
    found = existing()
    if found is not None:
        yield found
        return
    with OwnEngine() as own:
        yield own


@pytest.fixture(scope="session")
def engine_socket(container_engine: ContainerEngine) -> str:
    """Where the session's engine answers, `unix:///…`."""
    return container_engine.url


@pytest.fixture(scope="session")
def base_image(container_engine: ContainerEngine) -> str:
    """The id, "sha256:…", of a Debian root with python3 on the session's engine; no entry in it."""
    return import_python(container_engine)


@pytest.fixture
def own_engine() -> Iterator[OwnEngine]:
    """A fresh engine that this test may stop, kill, hang and start again; it has no image."""
    with OwnEngine() as own:
        yield own


@pytest.fixture(scope="session")
def python_image_of() -> Callable[[ContainerEngine], str]:
    """Imports what `base_image` is into another engine, such as `own_engine`."""
    return import_python


@pytest.fixture(scope="session")
def desk_engine(container_engine: ContainerEngine) -> str:
    """Where an engine answers that has the base images of the support desk's tools."""
    for base in ("python", "shell"):
        base_of(container_engine, base)
    return container_engine.url
