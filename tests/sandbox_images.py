"""Images for tests of sandboxes, honest and hostile: the Python root, and files laid over it.

A hostile image has a program of its own where the honest one has our entry: lint sees nothing wrong
with it, for what a program does cannot be read off an image.
"""

import contextlib
import hashlib
import io
import json
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from sandboxes.images import layout
from tests.base_images import python_root
from tests.engine_api import IMPORT_DEADLINE_S, ContainerEngine, EngineTrouble

REPOSITORY = "callbroker-test-sandbox"
ECHO = """
def run(call, **arguments):
    return {"got": arguments, "files": [path.name for path in call.files]}
"""
_ENVIRONMENT = "ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8"


def tool_image(engine: ContainerEngine, source: str = ECHO) -> str:
    """An image whose tool is `source`, a module with `run`; returns its digest."""
    files = {**layout.entry_files(), layout.TOOL_PATH: source.encode()}
    return _layered(engine, files)


def hostile_image(engine: ContainerEngine, source: str) -> str:
    """An image whose program is `source` instead of our entry; returns its digest."""
    files = {layout.ENTRY_PATH: source.encode(), layout.TOOL_PATH: b""}
    return _layered(engine, files)


def image_with(engine: ContainerEngine, *instructions: str) -> str:
    """An honest image with Dockerfile lines after; returns its digest."""
    files = {**layout.entry_files(), layout.TOOL_PATH: ECHO.encode()}
    return _layered(engine, files, *instructions)


def _layered(engine: ContainerEngine, files: Mapping[str, bytes], *instructions: str) -> str:
    lines = [
        f"FROM {_root(engine)}",
        "COPY root/ /",
        "USER 65534",
        "WORKDIR /tmp",
        f"LABEL {layout.LABEL}=1",
        f"ENTRYPOINT {json.dumps(layout.ENTRYPOINT)}",
        *instructions,
    ]
    dockerfile = "\n".join(lines).encode()
    made_of = hashlib.sha256(dockerfile)
    for path, content in sorted(files.items()):
        made_of.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
    tag = f"{REPOSITORY}:{made_of.hexdigest()[:20]}"
    found = _found(engine, tag)
    if found:
        return found
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        _add(archive, "Dockerfile", dockerfile)
        for path, content in sorted(files.items()):
            _add(archive, f"root{path}", content)
    context.seek(0)
    wanted = urlencode({"t": tag, "rm": "1", "forcerm": "1", "networkmode": "none"})
    said = engine.ask("POST", f"/build?{wanted}", context, deadline_s=IMPORT_DEADLINE_S)
    built = _found(engine, tag)
    if not built:
        raise EngineTrouble(f"The image could not be built: {said}")
    return built


def _root(engine: ContainerEngine) -> str:
    tag = f"{REPOSITORY}:root"
    if not _found(engine, tag):
        with tempfile.TemporaryFile() as cleaned, python_root().open("rb") as kept:
            with tarfile.open(fileobj=cleaned, mode="w") as archive:
                for entry, content in _clean(kept):
                    archive.addfile(entry, content)
            cleaned.seek(0)
            digest = engine.import_root(cleaned, _ENVIRONMENT)
        engine.ask("POST", f"/images/{digest}/tag?repo={REPOSITORY}&tag=root")
    return tag


def _clean(kept: Any) -> Iterator[tuple[tarfile.TarInfo, Any]]:
    """As lint wants it: nothing setuid, no device, no directory that everybody may write to."""
    with tarfile.open(fileobj=kept, mode="r|") as root:
        for entry in root:
            if entry.ischr() or entry.isblk() or entry.isfifo():
                continue
            entry.mode &= ~(stat.S_ISUID | stat.S_ISGID)
            if not entry.issym() and entry.name.strip("./") != "tmp":
                entry.mode &= ~stat.S_IWOTH
            yield entry, root.extractfile(entry) if entry.isreg() else None


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def _found(engine: ContainerEngine, tag: str) -> str:
    with contextlib.suppress(EngineTrouble):
        return str(engine.ask("GET", f"/images/{quote(tag)}/json")["Id"])
    return ""
