"""A container engine in memory: containers are coroutines, and it can vanish and come back."""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandboxes.engine import (
    ContainerFound,
    ContainerState,
    EngineFacts,
    EngineRefused,
    EngineUnavailable,
    ImageFacts,
    NotThere,
)
from sandboxes.entry.frames import READY, Answer, encode_answer
from sandboxes.images import layout

DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64
ABSENT = "The container engine is absent."

_EXIT_KILLED = 137


class FakeStream:
    """Both ends of a container's streams."""

    def __init__(self) -> None:
        self.to_program = asyncio.Queue[bytes]()
        self._said: deque[tuple[int, bytes] | None] = deque()
        self._news = asyncio.Event()
        self.closed = False

    async def send(self, data: bytes) -> None:
        if self.closed:
            raise EngineUnavailable("The container's stream is gone.")
        self.to_program.put_nowait(data)

    async def receive(self) -> tuple[int, bytes] | None:
        while not self._said:
            self._news.clear()
            await self._news.wait()
        return self._said.popleft()

    def pending(self) -> bool:
        return bool(self._said) or self.closed

    def close(self) -> None:
        self.closed = True

    def say(self, data: bytes, kind: int = 1) -> None:
        """What the program writes."""
        self._said.append((kind, data))
        self._news.set()

    def end(self) -> None:
        """The program's streams end."""
        self._said.append(None)
        self._news.set()


@dataclass
class FakeContainer:
    """One container; `program` may look at and change it."""

    container: str
    body: Mapping[str, Any]
    stream: FakeStream = field(default_factory=FakeStream)
    state: str = "created"
    exit_code: int = 0
    out_of_memory: bool = False
    task: asyncio.Task[None] | None = None

    async def question(self) -> tuple[str, bytes]:
        """The nonce and the input of the question, once all of it has come."""
        frame = await self.stream.to_program.get()
        length = int.from_bytes(frame[4:8], "big")
        header = json.loads(frame[8 : 8 + length])
        return header["nonce"], frame[8 + length : 8 + length + header["input"]]

    def exit(self, code: int = 0, *, out_of_memory: bool = False) -> None:
        """End."""
        if self.state == "running":
            self.state, self.exit_code, self.out_of_memory = "exited", code, out_of_memory
            self.stream.end()


Program = Callable[[FakeContainer], Awaitable[None]]


async def echo(container: FakeContainer) -> None:
    """Answers with its input, as an honest image does."""
    container.stream.say(READY)
    nonce, given = await container.question()
    container.stream.say(encode_answer(Answer(nonce=nonce, result_json=given)))
    container.exit(0)


async def silent(container: FakeContainer) -> None:
    """Is ready, and never answers."""
    container.stream.say(READY)
    await asyncio.Event().wait()


class FakeEngine:
    """Implements the port.

    Attributes:
        programs: what runs in containers of an image, by digest.
        trouble: raised by every call while it is set.
        refusing: raised by one call, by its name.
        made: every container that there ever was.
        stuck: containers that it cannot remove.
    """

    def __init__(self, programs: Mapping[str, Program] | None = None) -> None:
        self.programs = dict(programs or {DIGEST: echo})
        self.configs: dict[str, Mapping[str, Any]] = {}
        self.there: dict[str, FakeContainer] = {}
        self.made: list[FakeContainer] = []
        self.stuck: set[str] = set()
        self.trouble: Exception | None = None
        self.refusing: dict[str, Exception] = {}
        self.engine_id = "ENGINE"
        self.calls: list[str] = []
        self.closed = False
        self._interruptions = 0
        self._lost: Callable[[], None] | None = None
        self._numbers = itertools.count(1)

    @property
    def interruptions(self) -> int:
        return self._interruptions

    def die(self) -> None:
        """The engine is killed, and its containers with it."""
        self.trouble = EngineUnavailable(ABSENT)
        self._interruptions += 1
        for container in self.there.values():
            _end(container)
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost()

    def come_back(self, engine_id: str = "") -> None:
        """It answers again; with another id it is another engine, without these containers."""
        self.trouble = None
        if engine_id:
            self.engine_id = engine_id
            self.there.clear()

    async def watch(self, lost: Callable[[], None]) -> None:
        self._check("watch")
        self._lost = lost

    async def ping(self) -> None:
        self._check("ping")

    async def facts(self) -> EngineFacts:
        self._check("facts")
        return EngineFacts(
            engine_id=self.engine_id,
            version="20.10.24",
            api_version="1.41",
            architecture="x86_64",
            kernel="6.1",
            runtimes=("runc",),
            security=("name=seccomp,profile=default",),
            cgroup_version=2,
            runtime_versions={},
        )

    async def image(self, digest: str) -> ImageFacts:
        self._check("image")
        if digest not in self.programs:
            raise NotThere(f"No such image: {digest}")
        honest = {
            "Entrypoint": list(layout.ENTRYPOINT),
            "User": "65534",
            "WorkingDir": "/tmp",
            "Labels": {layout.LABEL: "1"},
        }
        return ImageFacts(
            digest=digest,
            names=("tool:latest",),
            size_bytes=1,
            architecture="amd64",
            config={**honest, **self.configs.get(digest, {})},
            labels={layout.LABEL: "1"},
        )

    async def images(self, label: str) -> Sequence[ImageFacts]:
        self._check("images")
        del label
        return [await self.image(digest) for digest in self.programs]

    async def file_modes(
        self, digest: str, *, labels: Mapping[str, str]
    ) -> Sequence[tuple[str, int]]:
        self._check("file_modes")
        del digest, labels
        paths = (layout.INTERPRETER, layout.ENTRY_PATH, layout.TOOL_PATH)
        return [(path, 0o100644) for path in paths]

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        self._check("create")
        if body["Image"] not in self.programs:
            raise NotThere(f"No such image: {body['Image']}")
        container = FakeContainer(container=f"{name}-{next(self._numbers)}", body=body)
        self.there[container.container] = container
        self.made.append(container)
        return container.container

    async def attach(self, container: str) -> FakeStream:
        self._check("attach")
        return self._get(container).stream

    async def start(self, container: str) -> None:
        self._check("start")
        found = self._get(container)
        found.state = "running"
        found.task = asyncio.create_task(self._run(found))

    async def kill(self, container: str) -> None:
        self._check("kill")
        found = self.there.get(container)
        if found is not None:
            _end(found)

    async def state(self, container: str) -> ContainerState:
        self._check("state")
        found = self._get(container)
        return ContainerState(
            running=found.state == "running",
            exit_code=found.exit_code,
            out_of_memory=found.out_of_memory,
        )

    async def ended(self, container: str, *, within_s: float) -> ContainerState | None:
        self._check("ended")
        state = await self.state(container)
        if state.running:
            await asyncio.sleep(min(within_s, 0.01))
            state = await self.state(container)
        return None if state.running else state

    async def remove(self, container: str) -> None:
        self._check("remove")
        if container in self.stuck:
            raise EngineRefused("device or resource busy")
        found = self.there.pop(container, None)
        if found is not None:
            _end(found)

    async def containers(self, label: str) -> Sequence[ContainerFound]:
        self._check("containers")
        key, _, value = label.partition("=")
        return [
            ContainerFound(
                container=each.container, labels=each.body.get("Labels", {}), state=each.state
            )
            for each in self.there.values()
            if each.body.get("Labels", {}).get(key) == value
        ]

    async def close(self) -> None:
        self.closed = True

    async def _run(self, container: FakeContainer) -> None:
        await self.programs[container.body["Image"]](container)

    def _check(self, call: str) -> None:
        self.calls.append(call)
        refused = self.refusing.get(call)
        if refused is not None:
            raise refused
        if self.trouble is not None:
            raise self.trouble

    def _get(self, container: str) -> FakeContainer:
        found = self.there.get(container)
        if found is None:
            raise NotThere(f"No such container: {container}")
        return found


def _end(container: FakeContainer) -> None:
    if container.task is not None:
        container.task.cancel()
    container.exit(_EXIT_KILLED)
