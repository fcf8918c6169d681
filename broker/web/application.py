"""The pages put together: routes, who may open them, and the guard before them all."""

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from broker.web import holds, queue, signing_in
from broker.web.pages import STATIC, Pages
from broker.web.parts import WebParts
from broker.web.security import Guard

_log = structlog.get_logger(__name__)


def application(parts: WebParts) -> Starlette:
    """The application that a listener serves."""
    pages = Pages(clock=parts.clock)
    routes: list[BaseRoute] = [
        *signing_in.routes(parts, pages),
        *queue.routes(parts, pages),
        *holds.routes(parts, pages),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]

    async def missing(request: Request, error: Exception) -> Response:
        del error
        return pages.problem(request, "There is no such page.", status=404)

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("page_failed", path=request.url.path, exc_info=error)
        return pages.problem(
            request, "The broker could not show this; its log says why.", status=500
        )

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, parts=parts)],
        exception_handlers={404: missing, 405: missing, Exception: failed},
    )
