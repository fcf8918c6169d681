"""Sessions, and one of them as the sequence of its calls."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.sign_ins import SignIn
from broker.web.history import field
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The list, and one session."""

    async def show_all(request: Request, sign_in: SignIn) -> Response:
        before = field(request, "before")
        page = await parts.records.browse.sessions(before=before)
        return pages.page(
            request,
            "sessions.html",
            sign_in=sign_in,
            rows=page.rows,
            following=page.following,
            is_newest=not before,
        )

    async def show(request: Request, sign_in: SignIn) -> Response:
        name = f"sessions/{request.path_params['session']}"
        before = field(request, "before")
        view = await parts.records.browse.session(name, before=before)
        return pages.page(request, "session.html", sign_in=sign_in, view=view, is_newest=not before)

    return [
        Route("/sessions", for_reviewers(parts, pages, show_all), methods=["GET"]),
        Route("/sessions/{session}", for_reviewers(parts, pages, show), methods=["GET"]),
    ]
