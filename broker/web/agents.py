"""Agents and what is stopped. The page stops nothing and lets nothing go: it says who can, and how.

Whoever approves calls is no operator, so a freeze is the command line's, with its own credential.
"""

import shlex

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.administration.looking import CALLS_LOOKED_AT
from broker.core.sign_ins import SignIn
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of agents and freezes."""

    async def show(request: Request, sign_in: SignIn) -> Response:
        view = await parts.records.looking.agents()
        return pages.page(
            request,
            "agents.html",
            sign_in=sign_in,
            view=view,
            calls_max=CALLS_LOOKED_AT,
            commands={one.agent: f"freeze agent {shlex.quote(one.agent)}" for one in view.agents},
        )

    return [Route("/agents", for_reviewers(parts, pages, show), methods=["GET"])]
