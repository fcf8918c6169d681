"""Speaks to an OPA on a unix socket: as much of HTTP/1.1 (RFC 9112) as OPA answers with, no more.

A general client costs the broker more than OPA's own answer does. So a request is one write, and an
answer is read where it arrives; whatever is not plainly a whole answer is none. A request that is
cancelled closes its connection, which stops OPA's evaluation; no request is sent twice.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from broker.core.arguments import JsonValue
from broker.core.errors import PolicyUnavailable

HEAD_BYTES_MAX: Final = 16 * 1024
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
_JSON: Final = b"application/json"
_AWAY: Final = "Policy cannot be asked now."


class OpaFailed(Exception):
    """OPA answered, and not with an answer.

    Attributes:
        code: POLICY_ERROR or POLICY_MALFORMED.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class OverSocket:
    """As many connections as requests are under way at once, kept for the next ones."""

    def __init__(self, path: Path, *, token: str) -> None:
        """Make one; nothing is sent yet."""
        self.headers = {"Authorization": f"Bearer {token}"}
        self._path = str(path)
        self._head = f" HTTP/1.1\r\nHost: opa\r\nAuthorization: Bearer {token}\r\n".encode("ascii")
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._is_closed = False

    async def post(self, path: str, body: bytes) -> JsonValue:
        """Ask, once.

        Raises:
            OpaFailed: with POLICY_ERROR or POLICY_MALFORMED.
            PolicyUnavailable: nobody is there, or the connection broke.
        """
        length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        request = b"".join((b"POST ", path.encode("ascii"), self._head, length, body))
        status, kind, answered = await self._exchange(request)
        if status != 200:  # noqa: PLR2004 - OK
            raise OpaFailed("POLICY_ERROR")
        if kind.partition(b";")[0].strip().lower() != _JSON:
            raise OpaFailed("POLICY_MALFORMED")
        try:
            answer: JsonValue = json.loads(answered)
        except (ValueError, RecursionError) as error:
            raise OpaFailed("POLICY_MALFORMED") from error
        return answer

    async def check_health(self) -> bool:
        """Whether it says that it is well."""
        try:
            status, _, _ = await self._exchange(b"GET /health" + self._head + b"\r\n")
        except (OpaFailed, PolicyUnavailable):
            return False
        return status == 200  # noqa: PLR2004 - OK

    async def close_connection(self) -> None:
        """Close every connection; requests under way end as PolicyUnavailable."""
        self._is_closed = True
        for connection in list(self._all):
            connection.abort()

    async def _exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        if self._is_closed:
            raise PolicyUnavailable(_AWAY)
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.abort()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return answer

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_unix_connection(
                lambda: _Connection(self._lost), self._path
            )
        except OSError as error:
            raise PolicyUnavailable(_AWAY) from error
        self._all.add(connection)
        if self._is_closed:
            connection.abort()
        return connection

    def _lost(self, connection: "_Connection") -> None:
        self._all.discard(connection)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)


class _Connection(asyncio.Protocol):
    """One request at a time, and its answer.

    Attributes:
        is_open: another request may follow.
    """

    def __init__(self, lost: Callable[["_Connection"], None]) -> None:
        self.is_open = False
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._heard = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Status, content type and body of the answer.

        Raises:
            OpaFailed: what came is no answer of HTTP/1.1.
            PolicyUnavailable: the connection broke.
        """
        if self._transport is None or not self.is_open:
            raise PolicyUnavailable(_AWAY)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def abort(self) -> None:
        """Close it at once."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By what it does, not by its class: uvloop's is no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():  # nobody asked, or not for any more
            self.abort()
            return
        self._heard += data
        try:
            answer = _read(self._heard)
        except (ValueError, IndexError):
            self._fail(OpaFailed("POLICY_MALFORMED"))
            self.abort()
            return
        if answer is not None:
            self._heard.clear()
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._lost(self)
        error = PolicyUnavailable(_AWAY)
        error.__cause__ = exc
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _read(heard: bytearray) -> tuple[int, bytes, bytes] | None:
    """The answer, or None where there is more to come.

    Raises:
        ValueError, IndexError: it is none.
    """
    if len(heard) > HEAD_BYTES_MAX + 2 * ANSWER_BYTES_MAX:
        raise ValueError("too much")
    end = heard.find(b"\r\n\r\n")
    if end < 0:
        if len(heard) > HEAD_BYTES_MAX:
            raise ValueError("head")
        return None
    first, *lines = bytes(heard[:end]).split(b"\r\n")
    version, status = first.split(b" ", 2)[:2]
    if version != b"HTTP/1.1" or len(status) != 3:  # noqa: PLR2004 - RFC 9112 §4
        raise ValueError("status")
    headers = dict(_header(line) for line in lines)
    if len(headers) != len(lines):
        raise ValueError("a header twice")
    if b"transfer-encoding" in headers:
        if headers[b"transfer-encoding"].lower() != b"chunked" or b"content-length" in headers:
            raise ValueError("framing")
        body = _chunks(heard, end + 4)
    else:
        length = _number(headers.get(b"content-length", b""), 10)
        body = bytes(heard[end + 4 :]) if len(heard) - end - 4 >= length else None
        if body is not None and len(body) > length:
            raise ValueError("more than an answer")
    if body is None:
        return None
    return _number(status, 10), headers.get(b"content-type", b""), body


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise ValueError("header")
    return name.lower(), value.strip()


def _chunks(heard: bytearray, at: int) -> bytes | None:
    """The chunks as one (RFC 9112 §7.1); None where there are more to come."""
    parts: list[bytes] = []
    while True:
        end = heard.find(b"\r\n", at)
        if end < 0:
            return None
        length = _number(bytes(heard[at:end]), 16)
        at = end + 2
        if len(heard) < at + length + 2:
            return None
        if heard[at + length : at + length + 2] != b"\r\n":
            raise ValueError("chunk")
        if length == 0:
            if len(heard) != at + 2:
                raise ValueError("more than an answer")
            return b"".join(parts)
        parts.append(bytes(heard[at : at + length]))
        at += length + 2


def _number(digits: bytes, base: int) -> int:
    """Digits alone: Python's own `int` takes signs, spaces and underscores too."""
    if not digits.isalnum():
        raise ValueError("number")
    number = int(digits, base)
    if number > ANSWER_BYTES_MAX:
        raise ValueError("too much")
    return number
