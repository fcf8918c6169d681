"""Images are written here, byte by byte: the same files make the same image, with the same digest.

Owner, time and order say nothing about what is in an image, so that they are always the same: root,
the year 1970, by path. What runs in a container never owns a file of its image.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sandboxes.images.layout import ENVIRONMENT, UID, WORK_DIRECTORY

Entry = tuple[tarfile.TarInfo, IO[bytes] | None]
CREATED: Final = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer, as a tar file on this disk.

    Attributes:
        diff_id: "sha256:…" of that file.
        path: None for a layer that the engine has already.
    """

    diff_id: str
    path: Path | None = None


def directory(path: str, mode: int = 0o755) -> Entry:
    """A directory; `path` is relative to the image's root."""
    return _entry(path, tarfile.DIRTYPE, mode), None


def plain_file(path: str, content: bytes, mode: int = 0o644) -> Entry:
    """A file."""
    made = _entry(path, tarfile.REGTYPE, mode)
    made.size = len(content)
    return made, io.BytesIO(content)


def link(path: str, target: str) -> Entry:
    """A symbolic link."""
    made = _entry(path, tarfile.SYMTYPE, 0o777)
    made.linkname = target
    return made, None


def entries_of(files: Mapping[str, bytes]) -> Iterator[Entry]:
    """Files by absolute path, and the directories above them, in order."""
    seen: set[str] = set()
    for path in sorted(files):
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above not in seen:
                seen.add(above)
                yield directory(above)
        yield plain_file("/".join(parts), files[path])


def write_layer(target: Path, entries: Iterable[Entry]) -> Layer:
    """Write a layer to a new file."""
    with tarfile.open(target, "x", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in entries:
            archive.addfile(entry, content)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Layer(diff_id=f"sha256:{digest}", path=target)


def configuration(
    *,
    architecture: str,
    layers: Sequence[Layer],
    labels: Mapping[str, str],
    entry_point: Sequence[str] = (),
) -> bytes:
    """The image's configuration; its SHA-256 is the image's digest.

    Args:
        architecture: in Go's words: amd64, arm64.
        layers: from the lowest on.
        labels: of the image.
        entry_point: empty for a base.
    """
    container = {
        "User": f"{UID}:{UID}",
        "Env": list(ENVIRONMENT),
        "WorkingDir": WORK_DIRECTORY,
        "Labels": dict(labels),
    }
    if entry_point:
        container["Entrypoint"] = list(entry_point)
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": container,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": "callbroker"} for _ in layers],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def write_image(target: IO[bytes], config: bytes, layers: Sequence[Layer], tag: str) -> str:
    """Write what `docker load` reads.

    Layers without a path are named and left out: an engine that has them does not ask.

    Returns:
        The image's digest, "sha256:…".
    """
    digest = hashlib.sha256(config).hexdigest()
    names = [f"{layer.diff_id.removeprefix('sha256:')}/layer.tar" for layer in layers]
    manifest = [{"Config": f"{digest}.json", "RepoTags": [tag], "Layers": names}]
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (
            (f"{digest}.json", config),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            archive.addfile(*plain_file(name, content))
        for name, path in dict(zip(names, (layer.path for layer in layers), strict=True)).items():
            if path is not None:
                made = _entry(name, tarfile.REGTYPE, 0o644)
                made.size = path.stat().st_size
                with path.open("rb") as content_file:
                    archive.addfile(made, content_file)
    return f"sha256:{digest}"


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    made = tarfile.TarInfo(path.strip("/"))
    made.type = kind
    made.mode = mode
    return made  # owner 0:0 without names, time 0: as TarInfo begins
