"""The images of an engine, for the command line: looked at, taken apart, put there.

A node never does any of this; it starts what is there. Nothing that is built runs on the way but
Python's own compiler, in a container that is shut in as a tool's is.
"""

import contextlib
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast

import requests
from docker.errors import DockerException
from docker.utils.socket import frames_iter_no_tty

from sandboxes.docker_client import client_at
from sandboxes.docker_words import Joined, cause, exported, image_of, modes_of, worded
from sandboxes.engine import EngineRefused, EngineUnavailable, ImageFacts, NotThere

DEADLINE_S: Final = 30.0
TRANSFER_S: Final = 600.0
_STANDARD_OUTPUT: Final = 1
# For a container that only reads its image: shut in as tightly as the engine can by itself.
_SHUT_IN: Final[Mapping[str, Any]] = {
    "NetworkMode": "none",
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "PidsLimit": 64,
    "Memory": 1 << 30,
    "LogConfig": {"Type": "none"},
}


class ImageStore:
    """What an engine has; use it as a context manager."""

    def __init__(self, url: str) -> None:
        """Connect.

        Args:
            url: `unix:///var/run/docker.sock`.

        Raises:
            EngineUnavailable: nothing answers there.
        """
        self.url = url
        try:
            self._client = client_at(url, timeout_s=DEADLINE_S)
        except (DockerException, requests.RequestException, OSError) as broken:
            raise EngineUnavailable(
                f"No container engine answers at {url}: {cause(broken)}."
            ) from broken

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the connection up."""
        self._client.close()

    def architecture(self) -> str:
        """The engine's, in Go's words: amd64, arm64."""
        with self._worded("say what it is"):
            return str(self._client.version()["Arch"])

    def image(self, reference: str) -> ImageFacts:
        """One image by digest, by the beginning of one, or by a name.

        Raises:
            NotThere: it is not on this engine.
        """
        with self._worded("describe an image"):
            return image_of(self._client.inspect_image(reference))

    def images(self, label: str) -> tuple[ImageFacts, ...]:
        """Images with this label."""
        with self._worded("list images"):
            listed = self._client.images(filters={"label": [label]})
            found = {
                each["Id"]: image_of(self._client.inspect_image(each["Id"])) for each in listed
            }
        return tuple(found.values())

    def layers(self, digest: str) -> tuple[str, ...]:
        """Digests of an image's layers, from the lowest on."""
        with self._worded("describe an image"):
            return tuple(self._client.inspect_image(digest)["RootFS"]["Layers"])

    def modes(self, digest: str) -> list[tuple[str, int]]:
        """Absolute path and `st_mode` of every file in an image."""
        with self._exported(digest) as files:
            return modes_of(files)

    def save_tree(self, digest: str, target: IO[bytes]) -> None:
        """Write an image's whole file tree as a tar."""
        with self._exported(digest) as files:
            while piece := files.read(1 << 20):
                target.write(piece)

    @contextlib.contextmanager
    def _exported(self, digest: str) -> Iterator[Joined]:
        with (
            self._worded("read an image's files", TRANSFER_S),
            exported(self._client, digest) as files,
        ):
            yield files

    def pull(self, reference: str) -> ImageFacts:
        """Fetch `name@sha256:…` from its registry.

        Raises:
            EngineRefused: it is not reachable, or not there.
        """
        name, _, digest = reference.partition("@")
        repository = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
        with self._worded("fetch an image", TRANSFER_S):
            for told in self._client.pull(repository, tag=digest, stream=True, decode=True):
                if "error" in told:
                    raise EngineRefused(str(told["error"]))
            return image_of(self._client.inspect_image(f"{repository}@{digest}"))

    def load(self, image: IO[bytes]) -> None:
        """Take in what `docker load` reads.

        Raises:
            EngineRefused: it will not have it.
        """
        with self._worded("take an image in", TRANSFER_S):
            for told in self._client.load_image(image):
                if "error" in told:
                    raise EngineRefused(str(told["error"]))

    def save_layers(self, digest: str, directory: Path) -> dict[str, Path]:
        """Write the layers of an image to files; digest of each to its file."""
        saved = directory / "saved.tar"
        with self._worded("hand an image out", TRANSFER_S), saved.open("wb") as file:
            for piece in self._client.get_image(digest):
                file.write(piece)
        ids = self.layers(digest)
        return dict(zip(ids, _layers_of(saved, directory), strict=True))

    def tag(self, digest: str, name: str) -> None:
        """Name an image, for people."""
        repository, _, tag = name.partition(":")
        with self._worded("name an image"):
            self._client.tag(digest, repository, tag or "latest")

    def remove(self, digest: str) -> None:
        """Remove an image; one that is gone is no error."""
        with contextlib.suppress(NotThere), self._worded("remove an image"):
            self._client.remove_image(digest, force=True)

    def output_of(self, digest: str, command: Sequence[str], environment: Sequence[str]) -> bytes:
        """Run a program that only reads its image, and take what it writes.

        Raises:
            EngineRefused: it failed.
        """
        body = {
            "Image": digest,
            "Entrypoint": list(command),
            "Env": list(environment),
            "User": "65534:65534",
            "AttachStdout": True,
            "HostConfig": dict(_SHUT_IN),
        }
        with self._worded("run a program", TRANSFER_S):
            made = self._client.create_container_from_config(body)["Id"]
            try:
                attached = self._client.attach_socket(made, {"stdout": 1, "stderr": 1, "stream": 1})
                # The connection is the response's: closing the stream first leaves it open.
                with contextlib.closing(attached), contextlib.closing(attached._response):  # noqa: SLF001
                    self._client.start(made)
                    streams: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
                    for stream, piece in frames_iter_no_tty(attached):
                        streams[stream] += piece
                code = self._client.wait(made)["StatusCode"]
            finally:
                self._client.remove_container(made, v=True, force=True)
        if code != 0:
            told = bytes(streams[2]).decode(errors="replace")[-500:]
            raise EngineRefused(f"{command[0]} ended with {code}: {told}")
        return bytes(streams[_STANDARD_OUTPUT])

    @contextlib.contextmanager
    def _worded(self, what: str, deadline_s: float = DEADLINE_S) -> Iterator[None]:
        self._client.timeout = deadline_s
        with worded(self.url, what):
            yield


def _layers_of(saved: Path, directory: Path) -> list[Path]:
    """The layers of a saved image, in order, each in a file of its own."""
    found = []
    with tarfile.open(saved) as archive:
        manifest = json.load(cast("IO[bytes]", archive.extractfile("manifest.json")))
        for number, name in enumerate(manifest[0]["Layers"]):
            target = directory / f"base-{number}.tar"
            with target.open("wb") as file, cast("IO[bytes]", archive.extractfile(name)) as content:
                while piece := content.read(1 << 20):
                    file.write(piece)
            found.append(target)
    return found
