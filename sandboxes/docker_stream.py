"""One attachment to a container: a plain socket on the event loop, unpacked as bytes come.

The engine puts 8 bytes before each piece of standard output and error. A piece may come in parts
and parts of several may come at once; nothing here waits for a whole one, so nothing here can be
made to hold much. Whoever receives or sends is cancelled before the stream is closed.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from typing import Final

from sandboxes.engine import EngineUnavailable

PIECE_BYTES: Final = 65_536
_FRAME: Final = struct.Struct(">BxxxI")


class DockerStream:
    """One attachment; the engine frames standard output and error on it, 8 bytes a header."""

    def __init__(self, connection: socket.socket) -> None:
        """Take a connected, hijacked socket over."""
        connection.settimeout(0)
        self._connection = connection
        self._header = b""
        self._kind = 0
        self._left = 0
        self._ready: deque[tuple[int, bytes]] = deque()
        self._closed = False

    async def send(self, data: bytes) -> None:
        """Write to its standard input."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._connection, data)
        except OSError as gone:
            raise EngineUnavailable(f"The container's stream is gone: {gone.strerror}.") from gone

    async def receive(self) -> tuple[int, bytes] | None:
        """The next piece of output; None at the end."""
        loop = asyncio.get_running_loop()
        while not self._ready:
            if self._closed:
                return None
            try:
                data = await loop.sock_recv(self._connection, PIECE_BYTES)
            except OSError:
                return None
            if not data:
                return None
            self._take(data)
        return self._ready.popleft()

    def pending(self) -> bool:
        """Whether something has come, or the end, that nobody has read."""
        if self._ready or self._closed:
            return True
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Give it up."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(RuntimeError):  # no loop any more
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._connection)
            loop.remove_writer(self._connection)
        self._connection.close()

    def _take(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._left:
                piece = bytes(view[: self._left])
                self._ready.append((self._kind, piece))
                self._left -= len(piece)
                view = view[len(piece) :]
                continue
            wanted = _FRAME.size - len(self._header)
            self._header += bytes(view[:wanted])
            view = view[wanted:]
            if len(self._header) == _FRAME.size:
                self._kind, self._left = _FRAME.unpack(self._header)
                self._header = b""
