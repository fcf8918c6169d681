"""Whoever stands between a broker and its PostgreSQL server: passes everything on, or nearly.

A proxy on a socket in a directory of its own. It can keep to itself what others have told
(NotificationResponse), as a pooler of transactions does, and cut off whoever begins to listen.
"""

import asyncio
import contextlib
import shutil
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
_TURNS = 3  # of the loop, until what was begun in it is under way


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

    async def pass_on(self, here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._both_ways(here, back)
        except asyncio.CancelledError:
            # It ends as it does by itself, since streams say so of what is cancelled; and at once.
            back.transport.abort()
        finally:
            back.close()
            self.tasks.discard(task)

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
            listening = loop.run(asyncio.start_unix_server(made.pass_on, str(directory / _SOCKET)))
            try:
                yield made
            finally:
                loop.run(_end(listening, made))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _end(listening: asyncio.Server, made: Between) -> None:
    listening.close()
    for _ in range(_TURNS):  # whoever was let in last begins
        await asyncio.sleep(0)
    await made.end()
    for _ in range(_TURNS):  # what was closed is closed
        await asyncio.sleep(0)
