"""Images of the tools that come along, and of tools in folders, on an engine of the tests.

Bases are made by `callbroker sandbox images build`'s own code, of the Python root that tests keep
(the shell's lacks some of its programs), once, and kept in `.cache` as what `docker load` reads:
from then on an engine takes one in in seconds. What is kept is named by a digest of how it was
made, so that a changed recipe is made again. Tools are built anew: that takes seconds, and is what
is tested.
"""

import fcntl
import hashlib
from pathlib import Path

import docker

from sandboxes.engine import NotThere
from sandboxes.images import bases, tools
from sandboxes.images.folder import read_folder
from sandboxes.images.layout import base_name
from sandboxes.images.store import ImageStore
from tests.base_images import KEPT, python_root
from tests.engine import ROOT
from tests.engine_api import ContainerEngine

_IMAGES = ROOT / "sandboxes" / "images"
_MADE_BY = ("archive.py", "bases.py", "compiling.py", "layout.py", "tree.py")
_TRANSFER_S = 600


def base_of(engine: ContainerEngine, base: str) -> str:
    """The digest of a base image, `python` or `shell`; made or taken in where it is not there."""
    with ImageStore(engine.url) as store:
        if (digest := _found(store, base_name(base))) is not None:
            return digest
        kept = _kept(base)
        KEPT.mkdir(parents=True, exist_ok=True)
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if kept.exists():
                with kept.open("rb") as file:
                    store.load(file)
            else:
                bases.make_base_from(store, bases.RECIPES[base], python_root())
                _keep(engine, base_name(base), kept)
        return store.image(base_name(base)).digest


def tool_of(engine: ContainerEngine, name_or_folder: str | Path) -> str:
    """The digest of a tool's image: one that comes along, or a folder's; with its base below it."""
    folder = (
        name_or_folder
        if isinstance(name_or_folder, Path)
        else tools.supplied_folder(name_or_folder)
    )
    assert folder is not None, f"{name_or_folder} does not come along"
    base = tools.SUPPLIED.get(folder.name, "shell")
    base_of(engine, base)
    with ImageStore(engine.url) as store:
        return tools.make_tool(store, read_folder(folder), name=folder.name, base=base).digest


def _found(store: ImageStore, name: str) -> str | None:
    try:
        return store.image(name).digest
    except NotThere:
        return None


def _kept(base: str) -> Path:
    recipe = hashlib.sha256(f"{base}\0{python_root().name}".encode())
    for path in (*(_IMAGES / name for name in _MADE_BY), *sorted((_IMAGES / "left_out").iterdir())):
        recipe.update(path.read_bytes())
    return KEPT / f"base-{base}-{recipe.hexdigest()[:12]}.tar"


def _keep(engine: ContainerEngine, name: str, kept: Path) -> None:
    part = kept.with_suffix(".part")
    client = docker.APIClient(base_url=engine.url, timeout=_TRANSFER_S)
    try:
        with part.open("wb") as file:
            for piece in client.get_image(name):
                file.write(piece)
    finally:
        client.close()
    part.replace(kept)
