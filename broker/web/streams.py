"""A page that stays live is no sign-in that stays for ever: its stream ends soon after that does.

However many names a stream has to tell, the sign-in that opened it is looked at again every few
seconds. One sign-in has few streams open and all have a bounded number, so that nobody's tabs keep
the others out.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Final

from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

LIVE: Final = "text/event-stream"
RECHECK_S: Final = 3.0
EACH_MAX: Final = 8
ALL_MAX: Final = 500
RETRY_S: Final = 10


class Streams:
    """Counts the streams that are open."""

    def __init__(
        self, *, recheck_s: float = RECHECK_S, each_max: int = EACH_MAX, all_max: int = ALL_MAX
    ) -> None:
        """Make one.

        Args:
            recheck_s: seconds between two looks at a stream's sign-in.
            each_max: streams of one sign-in.
            all_max: streams of all.
        """
        self.recheck_s = recheck_s
        self._each_max = each_max
        self._all_max = all_max
        self._open: Counter[bytes] = Counter()

    @property
    def count(self) -> int:
        """How many are open."""
        return self._open.total()

    def enter(self, who: bytes) -> bool:
        """Count one more of `who`; False, and not counted, where there are enough."""
        if self._open[who] >= self._each_max or self.count >= self._all_max:
            return False
        self._open[who] += 1
        return True

    def leave(self, who: bytes) -> None:
        """One less."""
        self._open[who] -= 1
        if not self._open[who]:
            del self._open[who]


class BoundedStream(StreamingResponse):
    """A stream that counts while it is sent, and ends with the sign-in that opened it."""

    def __init__(
        self,
        stream: StreamingResponse,
        *,
        streams: Streams,
        who: bytes,
        is_good: Callable[[], Awaitable[bool]],
    ) -> None:
        """Bound a stream.

        Args:
            stream: what would be sent.
            streams: counts.
            who: the sign-in's digest.
            is_good: whether the sign-in still is.
        """
        body = _while_good(stream.body_iterator, is_good, every_s=streams.recheck_s)
        super().__init__(body, status_code=stream.status_code, background=stream.background)
        self.raw_headers = stream.raw_headers
        self._streams = streams
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or say that there are too many."""
        if not self._streams.enter(self._who):
            refused = PlainTextResponse(
                "Too many live pages are open.\n", 429, {"retry-after": str(RETRY_S)}
            )
            await refused(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._who)


async def _while_good(
    parts: AsyncIterable[Any], is_good: Callable[[], Awaitable[bool]], *, every_s: float
) -> AsyncIterator[Any]:
    loop = asyncio.get_running_loop()
    coming = aiter(parts)
    due = loop.time() + every_s
    ahead = asyncio.ensure_future(anext(coming, None))
    try:
        while True:
            done, _ = await asyncio.wait({ahead}, timeout=max(due - loop.time(), 0))
            if loop.time() >= due:
                if not await is_good():
                    return
                due = loop.time() + every_s
            if done:
                part = ahead.result()
                if part is None:
                    return
                yield part
                ahead = asyncio.ensure_future(anext(coming, None))
    finally:
        ahead.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await ahead
        if hasattr(coming, "aclose"):
            await coming.aclose()
