"""What every page does first: find out who asks. What goes wrong is a page as well."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from broker.core.errors import BrokerError, Unauthenticated
from broker.core.sign_ins import SignIn
from broker.web.pages import Pages
from broker.web.parts import WebParts

Handler = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, SignIn], Awaitable[Response]]

STATUSES: Final = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "INVALID_ARGUMENT": 400,
    "ABORTED": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}


def cookie_name(*, is_secure: bool) -> str:
    """`__Host-` binds a cookie to this very host (RFC 6265bis), and needs HTTPS."""
    return "__Host-callbroker" if is_secure else "callbroker"


async def signed_in(request: Request, parts: WebParts) -> SignIn:
    """Whose request it is.

    Raises:
        Unauthenticated: nobody's who is signed in.
    """
    name = cookie_name(is_secure=parts.address().is_secure)
    return await parts.sign_ins.find(request.cookies.get(name, ""))


def for_reviewers(parts: WebParts, pages: Pages, page: Page) -> Handler:
    """A page for those who are signed in; the others are shown where to sign in."""

    async def handler(request: Request) -> Response:
        try:
            sign_in = await signed_in(request, parts)
        except Unauthenticated:
            if request.method == "GET" and "hx-request" not in request.headers:
                return RedirectResponse("/sign-in", status_code=303)
            return pages.problem(request, "You are not signed in, or no longer.", status=401)
        try:
            return await page(request, sign_in)
        except BrokerError as error:
            return pages.problem(
                request, str(error), status=STATUSES.get(error.code, 500), sign_in=sign_in
            )

    return handler
