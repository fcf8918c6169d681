"""The engine port over Docker's API, by the `docker` package: a hung engine hangs nobody.

Each call runs in one of a few threads of its own and has a deadline; once every thread hangs, the
next call fails at once instead of queueing behind them. Attached streams and the watch for a lost
engine are plain sockets on the event loop, for those must cost no thread.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

from docker import APIClient
from docker.errors import APIError, ImageNotFound, NotFound

from sandboxes.docker_client import SCHEME, client_at, knock
from sandboxes.docker_stream import PIECE_BYTES, DockerStream
from sandboxes.docker_words import (
    exported,
    facts_of,
    image_of,
    modes_of,
    state_of,
    worded,
)
from sandboxes.engine import (
    ContainerFound,
    ContainerState,
    EngineFacts,
    EngineUnavailable,
    ImageFacts,
)

THREADS: Final = 8
QUICK_S: Final = 5.0
CREATE_S: Final = 15.0
START_S: Final = 30.0
REMOVE_S: Final = 20.0
FILES_S: Final = 120.0
GRACE_S: Final = 1.0  # for the thread's own deadline to come first
T = TypeVar("T")
_ENDED_LOOK_S: Final = (0.02, 0.03, 0.05)  # an engine sees an end some 20 ms after it


class DockerEngine:
    """An engine on a unix socket of this machine."""

    def __init__(self, url: str, *, threads: int = THREADS, patience: float = 1.0) -> None:
        """Make one; nothing is asked yet.

        Args:
            url: `unix:///var/run/docker.sock`.
            threads: calls that may be under way at a time.
            patience: every deadline is multiplied by it.

        Raises:
            ValueError: it is on another machine, where no directory of ours could be mounted.
        """
        if not url.startswith(SCHEME):
            raise ValueError(f"{url!r} is not a socket of this machine, {SCHEME}/…")
        self.url = url
        self._threads_max = threads
        self._patience = patience
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="engine")
        self._clients = threading.local()
        self._made: list[APIClient] = []
        self._lock = threading.Lock()
        self._hung = 0
        self._interruptions = 0
        self._watch: asyncio.Task[None] | None = None

    @property
    def interruptions(self) -> int:
        """How often contact with the engine was lost since `watch`."""
        return self._interruptions

    async def watch(self, lost: Callable[[], None]) -> None:
        """Hold a connection open until the engine ends it, and count that.

        Args:
            lost: called once when it ends; call `watch` again when the engine answers again.
        """
        if self._watch is not None and not self._watch.done():
            return
        connection = await self._call("watch", QUICK_S, _open_events)
        connection.settimeout(0)
        self._watch = asyncio.create_task(self._watching(connection, lost))

    async def _watching(self, connection: socket.socket, lost: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.closing(connection), contextlib.suppress(OSError):
            while await loop.sock_recv(connection, PIECE_BYTES):
                pass
        self._interruptions += 1
        lost()

    async def facts(self) -> EngineFacts:
        """What it is."""
        return await self._call("describe itself", QUICK_S, facts_of)

    async def ping(self) -> None:
        """Whether it takes a new connection and answers on it."""
        timeout_s = QUICK_S * self._patience
        await self._call("answer", QUICK_S, lambda _: knock(self.url, timeout_s=timeout_s))

    async def image(self, digest: str) -> ImageFacts:
        """One image, by digest."""
        return await self._call(
            "describe an image", QUICK_S, lambda client: image_of(client.inspect_image(digest))
        )

    async def images(self, label: str) -> Sequence[ImageFacts]:
        """Images with this label."""

        def look(client: APIClient) -> list[ImageFacts]:
            found = []
            for listed in client.images(filters={"label": [label]}):
                with contextlib.suppress(ImageNotFound, NotFound):  # removed in between
                    found.append(image_of(client.inspect_image(listed["Id"])))
            return found

        return await self._call("list images", START_S, look)

    async def file_modes(
        self, digest: str, *, labels: Mapping[str, str]
    ) -> Sequence[tuple[str, int]]:
        """Path and mode of every file in an image, from a container that is never started."""

        def look(client: APIClient) -> list[tuple[str, int]]:
            with exported(client, digest, labels=labels) as files:
                return modes_of(files)

        return await self._call("read an image's files", FILES_S, look)

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Make a container from the body of `POST /containers/create`; returns its id."""

        def make(client: APIClient) -> str:
            return cast("str", client.create_container_from_config(dict(body), name)["Id"])

        return await self._call("create a container", CREATE_S, make)

    async def attach(self, container: str) -> DockerStream:
        """Attach to standard input, output and error; before `start`."""
        connection = await self._call(
            "attach to a container", QUICK_S, lambda client: _attached(client, container)
        )
        return DockerStream(connection)

    async def start(self, container: str) -> None:
        """Start it."""
        await self._call("start a container", START_S, lambda client: client.start(container))

    async def kill(self, container: str) -> None:
        """SIGKILL."""

        def kill(client: APIClient) -> None:
            try:
                client.kill(container, signal="SIGKILL")
            except APIError as refused:
                if refused.status_code not in (404, 409):  # gone, or not running
                    raise

        await self._call("kill a container", QUICK_S, kill)

    async def state(self, container: str) -> ContainerState:
        """How it is now."""
        return await self._call(
            "inspect a container",
            QUICK_S,
            lambda client: state_of(client.inspect_container(container)["State"]),
        )

    async def ended(self, container: str, *, within_s: float) -> ContainerState | None:
        """Wait until it has ended; None where it has not in time.

        By looking again and again rather than by the engine's own wait: that holds a thread, and
        its client-side deadline leaves the request behind (docker-py's `wait`).
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        for look in range(1_000_000):
            state = await self.state(container)
            if not state.running:
                return state
            pause = _ENDED_LOOK_S[min(look, len(_ENDED_LOOK_S) - 1)]
            if loop.time() + pause > until:
                return None
            await asyncio.sleep(pause)
        return None

    async def remove(self, container: str) -> None:
        """Remove it with its anonymous volumes, by force."""

        def remove(client: APIClient) -> None:
            try:
                client.remove_container(container, v=True, force=True)
            except APIError as refused:
                # 409: its removal is already in progress.
                if refused.status_code not in (404, 409):
                    raise

        await self._call("remove a container", REMOVE_S, remove)

    async def containers(self, label: str) -> Sequence[ContainerFound]:
        """All containers with this label, running or not."""

        def look(client: APIClient) -> list[ContainerFound]:
            listed = client.containers(all=True, filters={"label": [label]})
            return [
                ContainerFound(
                    container=each["Id"], labels=each.get("Labels") or {}, state=each["State"]
                )
                for each in listed
            ]

        return await self._call("list containers", QUICK_S, look)

    async def close(self) -> None:
        """Give up its connections; a call that hangs is left to its own deadline."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._executor.shutdown(wait=not self._hung, cancel_futures=True)
        with self._lock:
            made, self._made = self._made, []
        for client in made:
            client.close()

    async def _call(self, what: str, deadline_s: float, function: Callable[[APIClient], T]) -> T:
        if self._hung >= self._threads_max:
            raise EngineUnavailable(
                f"The container engine at {self.url} hangs: {self._hung} calls to it wait for an "
                "answer."
            )
        deadline_s *= self._patience
        running = self._executor.submit(self._with_client, function, deadline_s)
        with worded(self.url, what):
            try:
                async with asyncio.timeout(deadline_s + GRACE_S * self._patience):
                    return await asyncio.wrap_future(running)
            except asyncio.CancelledError:
                running.add_done_callback(_let_go)
                raise
            except TimeoutError:
                self._note_hung(running)
                running.add_done_callback(_let_go)
                raise EngineUnavailable(
                    f"The container engine at {self.url} did not {what} within {deadline_s:g} s."
                ) from None

    def _with_client(self, function: Callable[[APIClient], T], deadline_s: float) -> T:
        """In a thread, which keeps a client of its own; one that broke is not used again."""
        try:
            client = getattr(self._clients, "client", None)
            if client is None:
                client = client_at(self.url, timeout_s=deadline_s)
                self._clients.client = client
                with self._lock:
                    self._made.append(client)
            client.timeout = deadline_s
            return function(client)
        except APIError:
            raise
        except BaseException:
            self._drop_client()
            raise

    def _drop_client(self) -> None:
        client = getattr(self._clients, "client", None)
        self._clients.client = None
        if client is not None:
            with self._lock:
                if client in self._made:
                    self._made.remove(client)
            client.close()

    def _note_hung(self, running: Future[Any]) -> None:
        if running.cancel() or running.done():
            return
        with self._lock:
            self._hung += 1

        def over(_: Future[Any]) -> None:
            with self._lock:
                self._hung -= 1

        running.add_done_callback(over)


def _let_go(done: Future[Any]) -> None:
    """Nobody waits for it any more: a connection that it still brought is closed."""
    if not done.cancelled() and done.exception() is None:
        brought = done.result()
        if isinstance(brought, socket.socket):
            brought.close()


def _open_events(client: APIClient) -> socket.socket:
    """Events of a kind that never come: what matters is that the connection ends."""
    stream = client.events(filters={"type": ["plugin"]})
    return _taken(stream._response)  # noqa: SLF001 - the package has no other way


def _attached(client: APIClient, container: str) -> socket.socket:
    params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    return _taken(client.attach_socket(container, params)._response)  # noqa: SLF001 - as above


def _taken(response: Any) -> socket.socket:
    """The connection below a response, for ourselves; what is left of the response is closed."""
    reading = response.raw._fp.fp  # noqa: SLF001 - as docker's own `_get_raw_response_socket`
    taken = socket.socket(fileno=os.dup(reading.fileno()))
    response.close()
    return taken
