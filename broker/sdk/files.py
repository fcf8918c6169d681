"""A file goes up announced and in chunks, and what comes down is what was announced, or an error.

Pure, and shared by both clients, but for reading and writing the caller's own disk.
"""

import hashlib
import unicodedata
from collections.abc import Iterator
from datetime import UTC
from os import PathLike
from pathlib import Path
from typing import Final

from broker.sdk.errors import Defect, LimitExceeded, Unavailable
from broker.sdk.values import Artefact
from broker.v1 import broker_pb2, types_pb2

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024

_TRUSTED: Final = types_pb2.Artefact.TRUST_TRUSTED
_SENSITIVITY: Final = {
    types_pb2.Artefact.SENSITIVITY_NONE: "none",
    types_pb2.Artefact.SENSITIVITY_PERSONAL: "personal",
}


def artefact_from(message: types_pb2.Artefact) -> Artefact:
    """A file as the agent sees it; what this release does not know counts as the worst."""
    return Artefact(
        name=message.name,
        session=message.session,
        made_by=message.made_by,
        file_name=message.file_name,
        size=message.size_bytes,
        sha256=message.sha256,
        trust="trusted" if message.trust == _TRUSTED else "untrusted",
        sensitivity=_SENSITIVITY.get(message.sensitivity, "secret"),
        created_at=message.create_time.ToDatetime(UTC),
        expires_at=message.expire_time.ToDatetime(UTC),
    )


def source_of(source: str | PathLike[str] | bytes, name: str | None) -> tuple[str, bytes]:
    """The name and content of what is to be uploaded.

    Args:
        source: a path, or the bytes themselves.
        name: as it will be called; needed with bytes, else the path's last part.

    Raises:
        TypeError: bytes without a name.
        LimitExceeded: it is larger than a broker takes.
        OSError: it cannot be read.
    """
    if isinstance(source, bytes):
        if not name:
            raise TypeError("bytes need a name: upload(content, name=…).")
        content = source
    else:
        path = Path(source)
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        name = name or path.name
    if len(content) > FILE_BYTES_MAX:
        raise LimitExceeded(f"A file has at most {FILE_BYTES_MAX} bytes.")
    # Some systems keep names decomposed; the broker takes one form of a name alone.
    return unicodedata.normalize("NFC", name), content


def upload_requests(
    *, session: str, secret: str, name: str, content: bytes
) -> Iterator[broker_pb2.CreateArtefactRequest]:
    """A header, then chunks."""
    yield broker_pb2.CreateArtefactRequest(
        header=broker_pb2.ArtefactHeader(
            session=session,
            session_secret=secret,
            file_name=name,
            size_bytes=len(content),
            sha256=content_digest(content),
        )
    )
    for first in range(0, len(content), CHUNK_BYTES):
        yield broker_pb2.CreateArtefactRequest(chunk=content[first : first + CHUNK_BYTES])


class Download:
    """What has come of a file so far."""

    def __init__(self) -> None:
        self._announced: types_pb2.Artefact | None = None
        self._content = bytearray()

    def take(self, answer: broker_pb2.ReadArtefactResponse) -> None:
        """The next part.

        Raises:
            Defect: it is more than was announced.
        """
        if answer.WhichOneof("part") == "artefact":
            self._announced = answer.artefact
            return
        self._content += answer.chunk
        if self._announced is None or len(self._content) > self._announced.size_bytes:
            raise Defect("More came than was announced.")

    def whole(self) -> bytes:
        """What is in the file.

        Raises:
            Unavailable: it ended early.
            Defect: it is not what was announced.
        """
        content, announced = bytes(self._content), self._announced
        if announced is None or len(content) < announced.size_bytes:
            raise Unavailable("The file ended early.")
        if content_digest(content) != announced.sha256:
            raise Defect(f"{announced.name} is not what was announced.")
        return content


def write(artefact: Artefact, content: bytes, path: str | PathLike[str]) -> Path:
    """Write a file that is not there yet.

    Args:
        artefact: what it is called, where `path` is a directory.
        content: what is in it.
        path: of the file, or of a directory.

    Raises:
        FileExistsError: there is one.
        Defect: it is called what no broker calls a file.
    """
    target = Path(path)
    if target.is_dir():
        # A broker passes plain names alone; the disk is ours all the same.
        if Path(artefact.file_name).name != artefact.file_name:
            raise Defect(f"{artefact.name} has a name that leads elsewhere.")
        target /= artefact.file_name
    with target.open("xb") as file:
        file.write(content)
    return target


def content_digest(content: bytes) -> str:
    """`sha256:` and 64 hexadecimal digits, as the broker names it."""
    return "sha256:" + hashlib.sha256(content).hexdigest()
