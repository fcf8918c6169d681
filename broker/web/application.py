"""The pages put together: routes, who may open them, and the guard before them all."""

from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

from broker.web import (
    agents,
    alike,
    audit,
    history,
    holds,
    invocations,
    quality,
    queue,
    revisions,
    sessions,
    signing_in,
    step_up,
)
from broker.web.pages import STATIC, Assets, Pages
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
        *alike.routes(parts, pages),
        *step_up.routes(parts, pages),
        *history.routes(parts, pages),
        *invocations.routes(parts, pages),
        *sessions.routes(parts, pages),
        *agents.routes(parts, pages),
        *revisions.routes(parts, pages),
        *audit.routes(parts, pages),
        *quality.routes(parts, pages),
        Mount("/static", Assets(directory=STATIC), name="static"),
    ]

    async def missing(request: Request, error: Exception) -> Response:
        del error
        return pages.problem(request, "There is no such page.", status=404)

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("page_failed", path=request.url.path, exc_info=error)
        return pages.problem(
            request, "The broker could not show this; its log says why.", status=500
        )

    return _Guarded(
        parts, routes, exception_handlers={404: missing, 405: missing, Exception: failed}
    )


class _Guarded(Starlette):
    """The guard stands before everything, also before the page that says what failed."""

    def __init__(self, parts: WebParts, routes: list[BaseRoute], **given: Any) -> None:
        self._parts = parts
        super().__init__(routes=routes, **given)

    def build_middleware_stack(self) -> ASGIApp:
        """Everything else, behind the guard."""
        return Guard(super().build_middleware_stack(), parts=self._parts)
