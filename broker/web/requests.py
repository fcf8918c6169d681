"""What every page does first: find out who asks. What goes wrong is a page as well."""

import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from broker.core.errors import BrokerError, Unauthenticated
from broker.core.sign_ins import SignIn
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.streams import LIVE, BoundedStream

_log = structlog.get_logger(__name__)

Handler = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, SignIn], Awaitable[Response]]

SIGN_IN: Final = "/sign-in"
NOT_SIGNED_IN: Final = "You are not signed in, or no longer."
DEFECT: Final = 500
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
PATH_CHARACTERS_MAX: Final = 300
# One slash at the start and no backslash anywhere: no browser reads another host's name in it.
_OURS: Final = re.compile(r"/(?!/)[A-Za-z0-9_.~/-]*(?:\?[A-Za-z0-9_.~%=&+:-]*)?", re.ASCII)
_ONLY_AN_ANSWER: Final = frozenset({"/", "/live"})


def cookie_name(*, is_secure: bool) -> str:
    """`__Host-` binds a cookie to this very host (RFC 6265bis), and needs HTTPS."""
    return "__Host-callbroker" if is_secure else "callbroker"


def cookie(request: Request, name: str) -> str:
    """The value of a cookie; empty where there is none.

    Also where there are two: another page below the same name, or on another port, has put one
    beside ours, and which is whose cannot be told.
    """
    pairs = (
        pair.partition("=")
        for header in request.headers.getlist("cookie")
        for pair in header.split(";")
    )
    found = [value.strip() for key, _, value in pairs if key.strip() == name]
    return found[0] if len(found) == 1 else ""


async def signed_in(request: Request, parts: WebParts) -> SignIn:
    """Whose request it is.

    Raises:
        Unauthenticated: nobody's who is signed in.
    """
    name = cookie_name(is_secure=parts.address().is_secure)
    return await parts.sign_ins.find(cookie(request, name))


def own_path(path: str) -> str:
    """A page of ours to go on to; the first one where it is not surely ours."""
    return path if len(path) <= PATH_CHARACTERS_MAX and _OURS.fullmatch(path) else "/"


def for_reviewers(parts: WebParts, pages: Pages, page: Page) -> Handler:
    """A page for those who are signed in; the others are shown where to sign in."""

    async def handler(request: Request) -> Response:
        try:
            sign_in = await signed_in(request, parts)
        except Unauthenticated:
            if request.method in {"GET", "HEAD"} and "hx-request" not in request.headers:
                return RedirectResponse(_where_to_sign_in(request), status_code=303)
            return pages.problem(request, NOT_SIGNED_IN, status=401)
        except BrokerError as error:
            return pages.problem(request, str(error), status=STATUSES.get(error.code, 500))
        try:
            answer = await page(request, sign_in)
        except BrokerError as error:
            status = STATUSES.get(error.code, DEFECT)
            if status == DEFECT:  # its sentence is bland: what happened is for the log
                _log.error("page_failed", path=request.url.path, exc_info=error)
            return pages.problem(request, str(error), status=status, sign_in=sign_in)
        if isinstance(answer, StreamingResponse) and answer.media_type == LIVE:
            return BoundedStream(
                answer,
                streams=parts.streams,
                who=sign_in.digest,
                is_good=lambda: parts.sign_ins.recheck(sign_in),
            )
        return answer

    return handler


def _where_to_sign_in(request: Request) -> str:
    path = request.url.path
    if path in _ONLY_AN_ANSWER:
        return SIGN_IN
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = own_path(path + query)
    return SIGN_IN if wanted == "/" else f"{SIGN_IN}?next={quote(wanted, safe='/')}"
