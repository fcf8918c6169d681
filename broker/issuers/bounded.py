"""What somebody else's server answers has a largest size, whatever it says of its length.

Nothing that is compressed is taken, since it can be a thousand times as long as what came.
"""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx2

ANSWER_BYTES_MAX: Final = 512 * 1024

_PLAIN: Final = "identity"


def https(ca_file: Path | None) -> httpx2.AsyncBaseTransport:
    """The way to a server that shows a certificate; `ca_file`, PEM, says whose one counts."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    return httpx2.AsyncHTTPTransport(verify=context, trust_env=False)


class Bounded(httpx2.AsyncBaseTransport):
    """Answers of at most so many bytes."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request."""
        answer = await self._inner.handle_async_request(request)
        if answer.headers.get("content-encoding", _PLAIN).lower() != _PLAIN:
            await answer.aclose()
            raise httpx2.RemoteProtocolError("the answer is compressed, unasked")
        assert isinstance(answer.stream, httpx2.AsyncByteStream)  # noqa: S101 - it is asynchronous
        answer.stream = _BoundedBytes(answer.stream)
        return answer

    async def aclose(self) -> None:
        """Give the connections up."""
        await self._inner.aclose()


class _BoundedBytes(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for part in self._inner:
            taken += len(part)
            if taken > ANSWER_BYTES_MAX:
                raise httpx2.ReadError("the answer is too long")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
