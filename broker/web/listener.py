"""The pages have an address of their own, so that they can be kept off the agents' network.

The server runs in the broker's loop and takes no signals: the broker starts it last and stops it
first. Whoever is slow to ask, or does not take what is answered, is cut off after a while, and so
holds a connection for no longer; there are only so many of them.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

GRACE_S: Final = 2
BACKLOG: Final = 512
CONNECTIONS_MAX: Final = 1024
HEAD_BYTES_MAX: Final = 16 * 1024
_ANSWERING: Final = (h11.SEND_RESPONSE, h11.SEND_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long a connection may keep us waiting, seconds.

    Attributes:
        head_s: from its first byte, or from connecting, until all of a request's head is there.
        idle_s: between an answer and the next request.
        write_s: until what was answered begins to be taken again.
    """

    head_s: float = 10.0
    idle_s: int = 15
    write_s: float = 20.0


class Listener:
    """Serves an application on one address."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        certificate_file: str | None = None,
        key_file: str | None = None,
        waits: Waits | None = None,
    ) -> None:
        """Make one; it listens nowhere yet.

        Args:
            app: what is served.
            certificate_file: PEM chain, for HTTPS.
            key_file: PEM key.
            waits: patience.
        """
        patience = waits or Waits()
        config = uvicorn.Config(
            app,
            http=_impatient(patience),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=patience.idle_s,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            ssl_certfile=certificate_file,
            ssl_keyfile=key_file,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self, address: str) -> int:
        """Listen on `host:port`; returns the port.

        Raises:
            OSError: the address cannot be had.
        """
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, int(port)))
            listening.listen(BACKLOG)
            listening.settimeout(0)
        except OSError:
            listening.close()
            raise
        bound: int = listening.getsockname()[1]
        serving = self._server.serve(sockets=[listening])
        self._task = asyncio.get_running_loop().create_task(serving)
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError("the server of the pages ended as it started")
            await asyncio.sleep(0.005)
        return bound

    async def stop(self) -> None:
        """Take no more requests, and end those that go on."""
        if self._task is None:
            return
        self._server.should_exit = True
        await self._task


class _Server(uvicorn.Server):
    """Leaves signals to the broker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Impatient(H11Protocol):
    """One connection, with a deadline for whatever the other side is to do next."""

    waits: Waits

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._asking: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.our_state in _ANSWERING:
            self._asking = _disarm(self._asking)
        elif self._asking is None:
            self._await_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(self.waits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._stuck = _disarm(self._stuck)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        # What was not taken would keep a connection open that is closed.
        super().timeout_keep_alive_handler()
        self._stuck = self._stuck or self.loop.call_later(self.waits.write_s, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._asking, self._stuck = _disarm(self._asking), _disarm(self._stuck)
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._asking = self.loop.call_later(self.waits.head_s, self.transport.abort)


def _disarm(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Cancelled; what is there now is nothing."""
    if timer is not None:
        timer.cancel()
    return None


def _impatient(patience: Waits) -> type[asyncio.Protocol]:
    class Impatient(_Impatient):
        waits = patience

    return Impatient
