"""The images that tools are built on: a system's files, cleaned, and its Python compiled.

Where the files come from (a registry's pinned image, or a distribution's archive) makes no
difference to what is done with them, and none to what lint demands.
"""

import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from sandboxes.engine import EngineRefused, EngineUnavailable, ImageFacts
from sandboxes.images import lint
from sandboxes.images.archive import Layer, entries_of, write_layer
from sandboxes.images.compiling import compiled
from sandboxes.images.debootstrap import make_tree
from sandboxes.images.layout import BASE_LABEL, PYTHON_LABEL, base_name
from sandboxes.images.loading import load
from sandboxes.images.refusals import BuildRefused
from sandboxes.images.store import ImageStore
from sandboxes.images.tree import cleaned, paths_of_interpreters


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a base is made.

    Attributes:
        packages: from a distribution's archive.
        pinned: name and digest of the registry's image that serves instead; empty where no image
            there has all of the packages.
    """

    name: str
    about: str
    packages: tuple[str, ...]
    pinned: str = ""


RECIPES: Final = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="python",
            about="Python and its standard library.",
            packages=("python3",),
            pinned=(
                "python:3.11-slim-bookworm"
                "@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b"
            ),
        ),
        Recipe(
            name="shell",
            about="Python, and jq, awk, bc, file, sed, grep and the like.",
            packages=("python3", "bash", "bc", "file", "gawk", "jq", "xz-utils", "zstd"),
        ),
    )
}
Told = Callable[[str], None]


def make_base(
    store: ImageStore,
    recipe: Recipe,
    *,
    registry: str = "",
    release: str = "",
    mirror: str = "",
    told: Told = lambda _: None,
) -> ImageFacts:
    """Make a base image.

    Args:
        store: takes it in.
        recipe: which.
        registry: `name@sha256:…` to use and no other; empty to try the pinned one first.
        release: of the archive; naming one means that no registry is tried.
        mirror: of the archive; likewise.
        told: gets a line on what is under way.

    Raises:
        BuildRefused: neither way worked, or lint found something.
        EngineUnavailable: the engine is gone.
    """
    with tempfile.TemporaryDirectory(prefix="callbroker-image-") as made:
        raw = Path(made) / "tree.tar"
        source = "" if release or mirror else _from_registry(store, recipe, registry, raw, told)
        if not source:
            told("debootstrap: " + ", ".join(recipe.packages))
            source = make_tree(raw, packages=recipe.packages, release=release, mirror=mirror)
        return make_base_from(store, recipe, raw, told=told)


def make_base_from(
    store: ImageStore, recipe: Recipe, tree: Path, *, told: Told = lambda _: None
) -> ImageFacts:
    """Make a base image of a file tree that is there already.

    Args:
        store: takes it in.
        recipe: which base it becomes.
        tree: a tar of the whole tree, as a distribution or an image has it.
        told: gets a line on what is under way.

    Raises:
        BuildRefused: there is no Python in it, or lint found something.
        EngineUnavailable: the engine is gone.
    """
    with tempfile.TemporaryDirectory(prefix="callbroker-image-") as made:
        return _made(store, recipe, tree, Path(made), told)


def _from_registry(
    store: ImageStore, recipe: Recipe, registry: str, target: Path, told: Told
) -> str:
    reference = registry or recipe.pinned
    if not reference:
        return ""
    if "@sha256:" not in reference:
        raise BuildRefused(f"{reference} could be another image tomorrow: name it by @sha256:…")
    told(f"registry: {reference}")
    try:
        image = store.pull(reference)
    except (EngineRefused, EngineUnavailable) as unreachable:
        if registry:
            raise BuildRefused(f"{reference} could not be fetched: {unreachable}") from None
        told(f"not reachable ({unreachable}): debootstrap instead")
        return ""
    with target.open("xb") as file:
        store.save_tree(image.digest, file)
    return reference


def _made(store: ImageStore, recipe: Recipe, tree: Path, place: Path, told: Told) -> ImageFacts:
    told("leaving out what no tool needs")
    with tarfile.open(tree) as whole:
        tree_layer = write_layer(place / "tree-layer.tar", cleaned(whole))
    with tarfile.open(cast("Path", tree_layer.path)) as kept:
        libraries = paths_of_interpreters(kept.getnames())
    if not libraries:
        raise BuildRefused("there is no Python in these files: another image or release is needed")
    version = libraries[-1].rpartition("python")[2]
    labels = {BASE_LABEL: recipe.name, PYTHON_LABEL: version}
    told(f"compiling Python {version}'s library")
    draft = load(store, (tree_layer,), labels, place, tag=f"{base_name(recipe.name)}:draft")
    try:
        made = compiled(store, draft, [f"/{library}" for library in libraries])
        compiled_layer = write_layer(place / "compiled-layer.tar", entries_of(made))
        layers = (Layer(diff_id=tree_layer.diff_id), compiled_layer)
        tag = f"{base_name(recipe.name)}:latest"
        digest = load(store, layers, labels, place, tag=tag, below=draft)
    finally:
        store.remove(draft)
    image = store.image(digest)
    found = lint.findings(image, store.modes(digest), base=True)
    if found:
        raise BuildRefused("the base image does not pass its own lint", findings=found)
    return image
