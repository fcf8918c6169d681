"""The tool's end of one connection: one head, one body, one answer, then it is over.

Whatever reaches the tool is framed here, so that an answer that was cut can be told from a whole
one: by a length that is not reached, or a last chunk that never comes.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from http import HTTPStatus

from sandboxes.egress.heads import HEAD_BYTES_MAX
from sandboxes.egress.refusals import EgressRefused

REFUSAL_FIELD = "Callbroker-Refused"
FAREWELL_S = 2.0
_PIECE_BYTES = 65_536


class ToolSide:
    """One connection that a container opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The two halves of it; the reader's limit is at least a head."""
        self._reader = reader
        self._writer = writer
        self._is_chunked = False
        self.has_answered = False

    async def read_head(self) -> bytes | None:
        """Everything up to and with the empty line; None where nothing was asked.

        Raises:
            EgressRefused: EGRESS_MALFORMED: it ends too early, or not early enough.
        """
        try:
            return await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as short:
            if not short.partial:
                return None
        except asyncio.LimitOverrunError:
            pass
        raise EgressRefused(
            "EGRESS_MALFORMED",
            f"This is no plain request: a head ends, within {HEAD_BYTES_MAX} bytes.",
            status=400,
        )

    async def read_body(self, size: int) -> bytes:
        """All of the body; none of it goes out before it is whole.

        Raises:
            EgressRefused: EGRESS_MALFORMED: it is shorter.
        """
        pieces = []
        while size:
            piece = await self._reader.read(min(size, _PIECE_BYTES))
            if not piece:
                raise EgressRefused("EGRESS_MALFORMED", "The body is too short.", status=400)
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    async def answer(
        self, status: int, fields: Sequence[tuple[str, str]], length_bytes: int | None
    ) -> None:
        """Send a head.

        Args:
            status: of HTTP.
            fields: without any about framing.
            length_bytes: of the body; None where it is not known.
        """
        self.has_answered = True
        self._is_chunked = length_bytes is None
        framing = (
            ("Transfer-Encoding", "chunked")
            if length_bytes is None
            else ("Content-Length", str(length_bytes))
        )
        lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
        lines += [f"{name}: {value}" for name, value in (*fields, framing, ("Connection", "close"))]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self._writer.drain()

    async def write(self, piece: bytes) -> None:
        """Send some of the body; waits while the tool does not read."""
        if not piece:
            return
        if self._is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self._writer.write(piece)
        await self._writer.drain()

    async def finish(self) -> None:
        """The body is whole."""
        if self._is_chunked:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def refuse(self, refused: EgressRefused) -> None:
        """Say why not; where an answer was begun, it stays unfinished."""
        if self.has_answered:
            self.cut()
            return
        body = json.dumps({"code": refused.code, "message": str(refused)}).encode()
        fields = (("Content-Type", "application/json"), (REFUSAL_FIELD, refused.code))
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.answer(refused.status, fields, len(body))
                await self.write(body)

    async def leave(self) -> None:
        """Close it; what was written is delivered if the tool reads on."""
        self._writer.close()
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.cut()

    def cut(self) -> None:
        """Close it at once; what is not delivered yet is dropped."""
        self._writer.transport.abort()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"
