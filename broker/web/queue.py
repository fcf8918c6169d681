"""The queue: what waits, soonest over first."""

from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from broker.core.sign_ins import SignIn
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers

LIVE_RECHECK_S: Final = 15.0


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The queue, and the stream that keeps it live."""
    queue = _Queue(parts, pages)
    return [
        Route("/", for_reviewers(parts, pages, queue.show), methods=["GET"]),
        Route("/live", for_reviewers(parts, pages, queue.live), methods=["GET"]),
    ]


class _Queue:
    def __init__(self, parts: WebParts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def show(self, request: Request, sign_in: SignIn) -> Response:
        rows = await self._parts.views.queue(sign_in.reviewer)
        return self._pages.page(request, "queue.html", sign_in=sign_in, rows=rows)

    async def live(self, request: Request, sign_in: SignIn) -> Response:
        """Names of holds that have moved; what is new of them is asked for, and checked, anew."""
        del request
        return StreamingResponse(self._names(sign_in), media_type="text/event-stream")

    async def _names(self, sign_in: SignIn) -> AsyncIterator[str]:
        with self._parts.events.subscribe("hold") as changes:
            yield ": open\n\n"
            while True:
                name = await changes.next(LIVE_RECHECK_S)
                if name is None:
                    if not await self._parts.sign_ins.recheck(sign_in):
                        return
                    yield ": still here\n\n"
                else:
                    yield f"event: hold\ndata: {name}\n\n"
