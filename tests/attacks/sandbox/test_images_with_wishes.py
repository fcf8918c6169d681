"""Whoever builds images has one that asks the engine for more than its profile gives.

His aim is a directory of the host's, a program that raises privileges, a second process beside the
tool or another program than ours in front of it. The engine would give each; lint refuses all.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import docker
import pytest

from sandboxes.images import lint
from sandboxes.images.archive import Entry, Layer, directory, plain_file, write_layer
from sandboxes.images.layout import ENTRYPOINT, LABEL
from sandboxes.images.loading import load
from sandboxes.images.store import ImageStore
from tests.engine_api import ContainerEngine
from tests.sandbox_images import image_with
from tests.supplied_images import base_of

WISHES = {
    "VOLUME /tmp/in": "volumes",
    'VOLUME ["/callbroker", "/var/run/docker.sock"]': "volumes",
    "HEALTHCHECK CMD cp /callbroker/tool/tool.py /tmp": "HEALTHCHECK",
    "ONBUILD RUN true": "ONBUILD",
    "USER root": "root",
    "USER 0:65534": "root",
    "WORKDIR /proc/self/fd/8": "WORKDIR",
    'CMD ["-c", "import os"]': "CMD",
    'ENTRYPOINT ["/bin/sh"]': "ENTRYPOINT",
    "ENV LD_PRELOAD=/tmp/evil.so": "LD_PRELOAD",
    "STOPSIGNAL SIGCONT": "STOPSIGNAL",
    "EXPOSE 22": "ports",
    f"LABEL {LABEL}=0": LABEL,
}


@pytest.fixture(scope="module")
def store(container_engine: ContainerEngine) -> Iterator[ImageStore]:
    with ImageStore(container_engine.url) as made:
        yield made


@pytest.fixture(scope="module")
def honest(store: ImageStore, container_engine: ContainerEngine) -> Sequence[tuple[str, int]]:
    """Files and modes of an image that passes: no instruction below changes them."""
    digest = image_with(container_engine)
    modes = store.modes(digest)
    assert lint.findings(store.image(digest), modes) == ()
    return modes


@pytest.mark.parametrize("wish", WISHES)
def test_a_wish_in_the_configuration_is_refused(
    wish: str,
    store: ImageStore,
    container_engine: ContainerEngine,
    honest: Sequence[tuple[str, int]],
) -> None:
    """Write instructions that act when the container is made, not when the image is built."""
    image = store.image(image_with(container_engine, wish))

    found = lint.findings(image, honest)

    assert any(WISHES[wish] in finding for finding in found), found


@pytest.mark.parametrize(
    ("path", "mode", "word"),
    [
        ("usr/bin/rootme", 0o4755, "setuid"),
        ("usr/bin/groupme", 0o2755, "setuid"),
        ("callbroker/tool/other.py", 0o666, "everybody"),
    ],
)
def test_a_file_s_mode_that_gives_more_is_refused(
    path: str,
    mode: int,
    word: str,
    store: ImageStore,
    container_engine: ContainerEngine,
    tmp_path: Path,
) -> None:
    """Put a layer over an honest base whose files have the bits that the base lost."""
    digest = _over_base(store, container_engine, tmp_path, plain_file(path, b"", mode))

    found = lint.findings(store.image(digest), store.modes(digest))

    assert any(word in finding for finding in found), found


def test_a_directory_for_everybody_is_refused(
    store: ImageStore, container_engine: ContainerEngine, tmp_path: Path
) -> None:
    """Keep a place in the image where one call could leave something for another."""
    digest = _over_base(store, container_engine, tmp_path, directory("var/tmp", 0o1777))

    found = lint.findings(store.image(digest), store.modes(digest))

    assert any("/var/tmp" in finding for finding in found), found


def test_looking_at_an_image_starts_nothing(
    store: ImageStore, container_engine: ContainerEngine
) -> None:
    """Have an image do its work when somebody only looks whether it may run."""
    digest = image_with(container_engine, 'ENTRYPOINT ["/usr/bin/python3", "-c", "while 1: pass"]')
    client = docker.APIClient(base_url=container_engine.url, version="auto", timeout=30)
    try:
        store.modes(digest)
        since = client.containers(all=True, filters={"ancestor": digest})
    finally:
        client.close()

    assert since == []


def _over_base(store: ImageStore, engine: ContainerEngine, place: Path, entry: Entry) -> str:
    base = base_of(engine, "python")
    layers = [Layer(diff_id=each) for each in store.layers(base)]
    layers.append(write_layer(place / "layer.tar", [entry]))
    tag = "callbroker-test-wish:latest"
    return load(store, layers, {LABEL: "1"}, place, tag=tag, entry_point=ENTRYPOINT, below=base)
