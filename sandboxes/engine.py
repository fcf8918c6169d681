"""What a node needs of a container engine, and no more than that.

Every call has a deadline of its own and raises `EngineUnavailable` when that passes: an engine that
hangs must never hang its callers. Nothing here can run a command in a container that already runs,
copy files into or out of one, or pull an image.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Limit = Literal["memory", "swap", "pids", "cpu"]


class EngineUnavailable(Exception):
    """The engine is absent, hung, or was restarted under the call; `str` is one sentence."""


class EngineRefused(Exception):
    """The engine understood and said no; `str` is its own sentence, cleaned."""


class NotThere(EngineRefused):
    """There is no such image or container."""


def security_names(options: Iterable[str]) -> frozenset[str]:
    """What an engine's security options are called: "name=seccomp,profile=default" is seccomp."""
    return frozenset(option.partition(",")[0].removeprefix("name=") for option in options)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine says of itself.

    Attributes:
        engine_id: changes when another engine, or another data root, answers on the socket.
        architecture: as `uname -m` names it: "x86_64", "aarch64".
        runtimes: names that a container may ask for.
        security: the engine's own list: "name=seccomp,profile=default", "name=apparmor", …
        cgroup_version: 1 or 2.
        runtime_versions: "runc" → "1.1.5", "containerd" → …, where the engine says.
        limits_missing: what it cannot limit.
    """

    engine_id: str
    version: str
    api_version: str
    architecture: str
    kernel: str
    runtimes: tuple[str, ...]
    security: tuple[str, ...]
    cgroup_version: int
    runtime_versions: Mapping[str, str]
    limits_missing: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """One image, as it is stored.

    Attributes:
        digest: "sha256:…" of its configuration; what containers are made from.
        names: tags and repository digests, for people.
        config: the image's `Config` as the engine gives it (Entrypoint, User, Volumes, …).
        labels: of that configuration.
    """

    digest: str
    names: tuple[str, ...]
    size_bytes: int
    architecture: str
    config: Mapping[str, Any]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """How a container is. Read before it is removed: afterwards nobody knows."""

    running: bool
    exit_code: int
    out_of_memory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFound:
    """A container that carries our label."""

    container: str
    labels: Mapping[str, str]
    state: str


class Stream(Protocol):
    """The attached standard streams of one container; made before it starts."""

    async def send(self, data: bytes) -> None:
        """Write to its standard input.

        Raises:
            EngineUnavailable: the stream is gone.
        """
        ...

    async def receive(self) -> tuple[int, bytes] | None:
        """The next piece: 1 and standard output, or 2 and standard error; None at the end."""
        ...

    def pending(self) -> bool:
        """Whether something has already come that nobody has read."""
        ...

    def close(self) -> None:
        """Give it up. Twice is harmless. Close before removing: unread output blocks removal."""
        ...


class Engine(Protocol):
    """A container engine."""

    @property
    def interruptions(self) -> int:
        """How often contact with it was lost: what ended across one of those, nobody saw."""
        ...

    async def watch(self, lost: Callable[[], None]) -> None:
        """Hold contact, and call `lost` once when it is lost; ask again when it answers again."""
        ...

    async def ping(self) -> None:
        """Whether it takes a new connection and answers on it.

        One that shuts down ends its containers while it still answers on connections that it has.
        """
        ...

    async def facts(self) -> EngineFacts:
        """What it is; also says whether it answers."""
        ...

    async def image(self, digest: str) -> ImageFacts:
        """One image, by digest; never pulled.

        Raises:
            NotThere: it is not on this engine.
        """
        ...

    async def images(self, label: str) -> Sequence[ImageFacts]:
        """Images with this label ("key=value")."""
        ...

    async def file_modes(
        self, digest: str, *, labels: Mapping[str, str]
    ) -> Sequence[tuple[str, int]]:
        """Path and mode of every file in an image, from a container that is never started.

        Args:
            digest: of the image.
            labels: of that container, to be found again by where it was not removed.

        Raises:
            EngineRefused: it has more files than anybody would look through.
        """
        ...

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Make a container from the body of `POST /containers/create`; returns its id."""
        ...

    async def attach(self, container: str) -> Stream:
        """Attach to standard input, output and error; before `start`."""
        ...

    async def start(self, container: str) -> None:
        """Start it."""
        ...

    async def kill(self, container: str) -> None:
        """SIGKILL. One that has ended or is gone is no error."""
        ...

    async def state(self, container: str) -> ContainerState:
        """How it is now.

        Raises:
            NotThere: it is gone.
        """
        ...

    async def ended(self, container: str, *, within_s: float) -> ContainerState | None:
        """Wait until it has ended; None where it has not in time."""
        ...

    async def remove(self, container: str) -> None:
        """Remove it with its anonymous volumes, by force. One that is gone is no error."""
        ...

    async def containers(self, label: str) -> Sequence[ContainerFound]:
        """All containers with this label, running or not."""
        ...

    async def close(self) -> None:
        """Give up its connections."""
        ...
