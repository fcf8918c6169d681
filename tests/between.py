"""Whoever stands between a broker and its PostgreSQL server: passes everything on, or nearly.

A proxy on a socket in a directory of its own. It can keep to itself what others have told
(NotificationResponse), as a pooler of transactions does, and cut off whoever begins to listen.
"""

import asyncio
import contextlib
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.postgres import ROLE, Server
from tests.replay.running import Loop

_SOCKET = ".s.PGSQL.5432"
_NOTIFICATION = b"A"  # PostgreSQL, Frontend/Backend Protocol, Message Formats
_PART_BYTES = 1 << 16
_TURNS = 3  # of the loop, until what was ended in it is closed


@dataclass(kw_only=True)
class Between:
    """The proxy.

    Attributes:
        keeps_notices: whether nobody hears what others tell.
        cuts_listeners: whether a connection that says LISTEN is ended.
        kept: how many notices it kept to itself.
        cut: how many connections it ended.
    """

    directory: Path
    server: Server
    loop: Loop
    keeps_notices: bool = False
    cuts_listeners: bool = False
    kept: int = 0
    cut: int = 0
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def url(self, database: str) -> str:
        """The address of a database, by way of here."""
        return f"postgresql://{ROLE}@/{database}?host={self.directory}"

    def cut_all(self) -> None:
        """End every connection that there is; others can be made."""
        self.loop.run(self.end())

    async def end(self) -> None:
        """The same, in its thread."""
        tasks = [*self.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def let_in(self, listening: socket.socket) -> None:
        """Whoever has come."""
        came, _ = listening.accept()
        task = asyncio.create_task(self.pass_on(came))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        # Where it was ended before it began, nobody else closes it.
        task.add_done_callback(lambda _: came.close())

    async def pass_on(self, came: socket.socket) -> None:
        """One connection, until either side ends it."""
        here, back = await asyncio.open_unix_connection(sock=came)
        try:
            await self._both_ways(here, back)
        finally:
            back.transport.abort()

    async def _both_ways(self, here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there, on = await asyncio.open_unix_connection(str(self.server.directory / _SOCKET))
        ways = [
            asyncio.ensure_future(self._forth(here, on)),
            asyncio.ensure_future(self._back(there, back)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            on.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forth(self, here: asyncio.StreamReader, on: asyncio.StreamWriter) -> None:
        while part := await here.read(_PART_BYTES):
            if self.cuts_listeners and b"LISTEN " in part:
                self.cut += 1
                return
            on.write(part)
            await on.drain()

    async def _back(self, there: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await there.readexactly(5)
                (length,) = struct.unpack(">I", head[1:])
                body = await there.readexactly(length - 4)
                if head[:1] == _NOTIFICATION and self.keeps_notices:
                    self.kept += 1
                    continue
                back.write(head + body)
                await back.drain()


@contextlib.contextmanager
def between(server: Server) -> Iterator[Between]:
    """One in front of a server, in a thread of its own."""
    directory = Path(tempfile.mkdtemp(prefix="callbroker-pg-between-"))
    try:
        with Loop() as loop:
            made = Between(directory=directory, server=server, loop=loop)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(directory / _SOCKET))
                listening.listen()
                loop.run(_begin(listening, made))
                try:
                    yield made
                finally:
                    loop.run(_end(listening, made))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _begin(listening: socket.socket, made: Between) -> None:
    asyncio.get_running_loop().add_reader(listening, made.let_in, listening)


async def _end(listening: socket.socket, made: Between) -> None:
    asyncio.get_running_loop().remove_reader(listening)
    await made.end()
