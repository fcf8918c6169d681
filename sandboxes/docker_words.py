"""What Docker's API says, in the words of the engine port.

Nothing of an engine's own sentences goes on unread: they become one printable line.
"""

import contextlib
import stat
import tarfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final, cast

from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from sandboxes.engine import (
    ContainerState,
    EngineFacts,
    EngineRefused,
    EngineUnavailable,
    ImageFacts,
    Limit,
    NotThere,
)

SENTENCE_CHARACTERS_MAX: Final = 500
FILES_MAX: Final = 500_000  # of an image that anybody looks through


class Joined:
    """A generator of pieces as a file that `tarfile` can read as a stream."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = iter(pieces)
        self._source = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        while len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        given, self._rest = self._rest[:size], self._rest[size:]
        return given

    def close(self) -> None:
        """Give the source up."""
        if hasattr(self._source, "close"):
            self._source.close()


@contextlib.contextmanager
def exported(
    client: APIClient, digest: str, *, labels: Mapping[str, str] | None = None
) -> Iterator[Joined]:
    """An image's whole file tree as a tar, out of a container that is never started."""
    body = {
        "Image": digest,
        "Entrypoint": ["/never"],
        "NetworkDisabled": True,
        "Labels": dict(labels or {}),
    }
    made = client.create_container_from_config(body)["Id"]
    try:
        with contextlib.closing(Joined(client.export(made))) as files:
            yield files
    finally:
        client.remove_container(made, v=True, force=True)


def modes_of(exported: Joined, *, files_max: int = FILES_MAX) -> list[tuple[str, int]]:
    """Path and `st_mode` of every entry of an exported container.

    Raises:
        EngineRefused: there are more than `files_max`.
    """
    modes: list[tuple[str, int]] = []
    with tarfile.open(fileobj=cast("IO[bytes]", exported), mode="r|") as archive:
        while (entry := archive.next()) is not None:
            modes.append((f"/{entry.name}", entry.mode | _KINDS.get(entry.type, 0)))
            vars(archive)["members"].clear()  # it would keep them all
            if len(modes) > files_max:
                raise EngineRefused(f"It has over {files_max} files.")
    return modes


_KINDS: Final = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.LNKTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


_LIMITS: Final[Mapping[Limit, str]] = {
    "memory": "MemoryLimit",
    "swap": "SwapLimit",
    "pids": "PidsLimit",
    "cpu": "CpuCfsQuota",
}


def facts_of(client: APIClient) -> EngineFacts:
    """What the engine says of itself."""
    info, version = client.info(), client.version()
    components = {
        str(each["Name"]): str(each["Version"])
        for each in version.get("Components") or ()
        if each.get("Name") and each.get("Version")
    }
    return EngineFacts(
        engine_id=str(info.get("ID", "")),
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        architecture=str(info.get("Architecture", "")),
        kernel=str(info.get("KernelVersion", "")),
        runtimes=tuple(sorted(info.get("Runtimes") or {})),
        security=tuple(info.get("SecurityOptions") or ()),
        cgroup_version=int(info.get("CgroupVersion") or 1),
        runtime_versions=components,
        limits_missing=limits_missing(info),
    )


def limits_missing(info: Mapping[str, Any]) -> tuple[Limit, ...]:
    """What the answer to `GET /info` says that it cannot limit."""
    return tuple(limit for limit, name in _LIMITS.items() if not info.get(name))


def image_of(found: Mapping[str, Any]) -> ImageFacts:
    """One image of the answer to `GET /images/{id}/json`."""
    config = found.get("Config") or {}
    return ImageFacts(
        digest=str(found["Id"]),
        names=(*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())),
        size_bytes=int(found.get("Size") or 0),
        architecture=str(found.get("Architecture", "")),
        config=config,
        labels=config.get("Labels") or {},
    )


def state_of(state: Mapping[str, Any]) -> ContainerState:
    """`State` of the answer to `GET /containers/{id}/json`."""
    return ContainerState(
        running=bool(state.get("Running")) or bool(state.get("Restarting")),
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
    )


@contextlib.contextmanager
def worded(url: str, what: str) -> Iterator[None]:
    """What goes wrong with an engine, as the port's own errors.

    Args:
        url: of the engine.
        what: that it is asked to do, after "did not".

    Raises:
        NotThere, EngineRefused, EngineUnavailable: as `sandboxes.engine` says.
    """
    try:
        yield
    except (ImageNotFound, NotFound) as missing:
        raise NotThere(sentence(missing)) from missing
    except APIError as refused:
        raise EngineRefused(sentence(refused)) from refused
    except (DockerException, RequestException, OSError) as broken:
        raise EngineUnavailable(
            f"The container engine at {url} did not {what}: {cause(broken)}."
        ) from broken


def sentence(error: APIError) -> str:
    """The engine's own words for a refusal."""
    told = str(error.explanation or error)
    if isinstance(error.explanation, bytes):
        told = error.explanation.decode(errors="replace")
    return clean(told)


def cause(error: BaseException) -> str:
    """The innermost reason, without the addresses of objects that urllib3 words it with."""
    seen: BaseException = error
    while seen.__cause__ is not None or seen.__context__ is not None:
        seen = cast("BaseException", seen.__cause__ or seen.__context__)
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror.lower()
    return clean(str(seen) or type(seen).__name__).rstrip(".")


def clean(text: str) -> str:
    """One printable line of somebody else's words."""
    line = " ".join(text.split())
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return shown[:SENTENCE_CHARACTERS_MAX]
