"""How the log stands, its newest entries, and how anybody can check it without this page."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.sign_ins import SignIn
from broker.web.history import field
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers

_LEAF_DIGITS_MAX = 15


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of the log."""

    async def show(request: Request, sign_in: SignIn) -> Response:
        before = _leaf(field(request, "before"))
        view = await parts.records.looking.log(before=before)
        return pages.page(
            request,
            "audit.html",
            sign_in=sign_in,
            view=view,
            counts_of_log=view.counts,
            is_newest=before is None,
        )

    return [Route("/audit", for_reviewers(parts, pages, show), methods=["GET"])]


def _leaf(text: str) -> int | None:
    """What is no number names no place in the log: then it begins with the newest."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LEAF_DIGITS_MAX
    return int(text) if is_number else None
