"""The pages have an address of their own, so that they can be kept off the agents' network.

The server runs in the broker's loop and takes no signals: the broker starts it last and stops it
first.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

GRACE_S: Final = 2
BACKLOG: Final = 512


class Listener:
    """Serves an application on one address."""

    def __init__(
        self, app: ASGIApp, *, certificate_file: str | None = None, key_file: str | None = None
    ) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
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
