"""An image goes to the engine as what is new of it; the layers that it has already stay there.

Engines of the classic kind take that. Those that keep images in containerd's store want every byte,
and then get it.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandboxes.engine import EngineRefused
from sandboxes.images.archive import Layer, configuration, write_image
from sandboxes.images.store import ImageStore


def load(
    store: ImageStore,
    layers: Sequence[Layer],
    labels: Mapping[str, str],
    place: Path,
    *,
    tag: str,
    entry_point: Sequence[str] = (),
    below: str = "",
) -> str:
    """Put an image on the engine.

    Args:
        store: the engine.
        layers: from the lowest on; those without a path are layers of `below`.
        labels: of the image.
        place: for files that are needed on the way.
        tag: for people.
        entry_point: what is started; empty for a base.
        below: digest of an image that has the layers without a path.

    Returns:
        The image's digest as the engine has it.

    Raises:
        EngineRefused: it will not have it.
    """
    config = configuration(
        architecture=store.architecture(), layers=layers, labels=labels, entry_point=entry_point
    )
    try:
        _load(store, config, layers, tag, place)
    except EngineRefused:
        if not below:
            raise
        there = store.save_layers(below, place)
        whole = [
            Layer(diff_id=layer.diff_id, path=layer.path or there[layer.diff_id])
            for layer in layers
        ]
        _load(store, config, whole, tag, place)
    return store.image(tag).digest


def _load(store: ImageStore, config: bytes, layers: Sequence[Layer], tag: str, place: Path) -> None:
    with tempfile.TemporaryFile(dir=place) as file:
        write_image(file, config, layers, tag)
        file.seek(0)
        store.load(file)
