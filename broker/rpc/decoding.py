"""Bytes that are no message of their method are the caller's fault, and said to be so.

Left to itself the server answers them with UNKNOWN, which here means that something may have run,
and writes a stack into the log for each. So reading them never fails: what could not be read is
handed on as such, and whoever would use it is told.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any, Final

from google.protobuf.message import DecodeError

from broker.core.errors import MalformedRequest

UNREAD: Final = object()
"""Stands for bytes that could not be read."""


def tolerant(read: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A deserializer that gives UNREAD where the one that it is made of raises."""
    if read is None:
        return None

    def attempt(raw: bytes) -> Any:
        try:
            return read(raw)
        except (DecodeError, ValueError):
            return UNREAD

    return attempt


def must_be_read(request: Any) -> Any:
    """A request as it was read.

    Raises:
        MalformedRequest: it could not be.
    """
    if request is UNREAD:
        raise MalformedRequest("The bytes are no message of this method.")
    return request


async def all_read(requests: AsyncIterable[Any]) -> AsyncGenerator[Any]:
    """Messages as they come.

    Raises:
        MalformedRequest: one could not be read.
    """
    async for request in requests:
        yield must_be_read(request)
