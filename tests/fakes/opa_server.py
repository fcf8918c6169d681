"""A stand-in for OPA on a unix socket that answers as a test says, however wrongly."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def opa_server(handler: Handler) -> AsyncIterator[Path]:
    """Serve every path by `handler`; gives the socket's path."""
    application = web.Application(client_max_size=8 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    with tempfile.TemporaryDirectory(prefix="opa-") as directory:
        socket = Path(directory) / "socket"
        await web.UnixSite(runner, str(socket)).start()
        try:
            yield socket
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def broken_server(says: bytes) -> AsyncIterator[Path]:
    """Answer every connection with these bytes and hang up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(says)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    with tempfile.TemporaryDirectory(prefix="opa-") as directory:
        socket = Path(directory) / "socket"
        server = await asyncio.start_unix_server(answer, socket)
        try:
            yield socket
        finally:
            server.close()
            await server.wait_closed()
