"""A tool's image is a base, the entry program, the tool and its wheels: copied, never run.

No step of a build has a network or executes anything of the tool's. The same folder on the same
base makes the same digest.
"""

import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

from sandboxes.engine import ImageFacts, NotThere
from sandboxes.images import lint
from sandboxes.images.archive import Layer, entries_of, write_layer
from sandboxes.images.compiling import compiled
from sandboxes.images.folder import ToolFolder
from sandboxes.images.layout import (
    BASE_LABEL,
    ENTRYPOINT,
    LABEL,
    PACKAGES_DIRECTORY,
    PYTHON_LABEL,
    TOOL_DIRECTORY,
    TOOL_LABEL,
    base_name,
    entry_files,
    tool_name,
)
from sandboxes.images.loading import load
from sandboxes.images.refusals import BuildRefused
from sandboxes.images.requirements import wheels
from sandboxes.images.store import ImageStore

_SUPPLIED: Final = "sandboxes.tools"
# The tools that come along, and the base that each is built on.
SUPPLIED: Final = {"run_python": "python", "run_shell": "shell", "read_document": "python"}
Told = Callable[[str], None]


def supplied_folder(name: str) -> Path | None:
    """Where a tool that comes along lies; None where there is none of this name."""
    return Path(str(files(_SUPPLIED) / name)) if name in SUPPLIED else None


def base_image(store: ImageStore, base: str) -> ImageFacts:
    """The base image of a name.

    Raises:
        BuildRefused: there is none yet.
    """
    try:
        image = store.image(base_name(base))
    except NotThere:
        raise BuildRefused(
            f"there is no {base} base image on this engine yet: "
            f"callbroker sandbox images build --base {base}"
        ) from None
    if image.labels.get(BASE_LABEL) != base or not image.labels.get(PYTHON_LABEL):
        raise BuildRefused(
            f"{base_name(base)} was not made by `callbroker sandbox images build`: make it again"
        )
    return image


def make_tool(
    store: ImageStore,
    folder: ToolFolder,
    *,
    name: str,
    base: str = "python",
    told: Told = lambda _: None,
) -> ImageFacts:
    """Make a tool's image.

    Args:
        store: has the base, and takes the image in.
        folder: as read; checked already.
        name: of the tool.
        base: name of the base.
        told: gets a line on what is under way.

    Raises:
        BuildRefused: there is no base, a wheel is missing, or lint found something.
        EngineUnavailable: the engine is gone.
    """
    below = base_image(store, base)
    python = below.labels[PYTHON_LABEL]
    if folder.requirements:
        told("fetching wheels")
    packages = wheels(folder.requirements, python=python, architecture=store.architecture())
    content = {
        **entry_files(),
        **{f"{TOOL_DIRECTORY}/{path}": data for path, data in folder.files.items()},
        **{f"{PACKAGES_DIRECTORY}/{path}": data for path, data in packages.items()},
    }
    labels = {LABEL: "1", TOOL_LABEL: name, PYTHON_LABEL: python}
    with tempfile.TemporaryDirectory(prefix="callbroker-image-") as made:
        place = Path(made)
        layers = tuple(Layer(diff_id=diff_id) for diff_id in store.layers(below.digest))
        sources = write_layer(place / "sources.tar", entries_of(content))
        tag = tool_name(name)
        told(f"compiling for Python {python}")
        draft = load(
            store,
            (*layers, sources),
            labels,
            place,
            tag=f"{tag}:draft-{sources.diff_id[7:19]}",
            below=below.digest,
        )
        try:
            everything = {**content, **compiled(store, draft, ["/callbroker"])}
        finally:
            store.remove(draft)
        whole = write_layer(place / "whole.tar", entries_of(everything))
        digest = load(
            store,
            (*layers, whole),
            labels,
            place,
            tag=f"{tag}:{whole.diff_id[7:19]}",
            entry_point=ENTRYPOINT,
            below=below.digest,
        )
    image = store.image(digest)
    found = lint.findings(image, store.modes(digest))
    if found:
        store.remove(digest)
        raise BuildRefused("the image does not pass lint", findings=found)
    return image
