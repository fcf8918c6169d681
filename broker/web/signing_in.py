"""Signing in and out. A link only ever opens a page; a button on it does what the link is for."""

import contextlib
import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.core.errors import Unauthenticated
from broker.core.holds import Reviewer
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import cookie_name, signed_in

_OVER = "This link was used, or its time is over. Start the broker again for a new one."


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """Where people sign in and out."""
    doors = _Doors(parts, pages)
    return [
        Route("/sign-in", doors.ask, methods=["GET"]),
        Route("/sign-in/{secret}", doors.show_link, methods=["GET"]),
        Route("/sign-in/{secret}", doors.use_link, methods=["POST"]),
        Route("/sign-out", doors.sign_out, methods=["POST"]),
    ]


class _Doors:
    def __init__(self, parts: WebParts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def ask(self, request: Request) -> Response:
        return self._pages.page(request, "sign_in.html", link=False)

    async def show_link(self, request: Request) -> Response:
        """What the link opens: whoever only looks at it, a mail scanner say, uses nothing."""
        if self._who(request) is None:
            return self._pages.problem(request, _OVER, status=403)
        return self._pages.page(request, "sign_in.html", link=True)

    async def use_link(self, request: Request) -> Response:
        who = self._who(request)
        local = self._parts.local
        if who is None or local is None:
            return self._pages.problem(request, _OVER, status=403)
        local.digest = b""  # before anything is awaited: once
        secret = await self._parts.sign_ins.open(who, how="local")
        return self._signed_in(secret)

    async def sign_out(self, request: Request) -> Response:
        with contextlib.suppress(Unauthenticated):
            await self._parts.sign_ins.end(await signed_in(request, self._parts))
        answer = RedirectResponse("/sign-in", status_code=303)
        answer.delete_cookie(cookie_name(is_secure=self._parts.address().is_secure))
        return answer

    def _who(self, request: Request) -> Reviewer | None:
        local = self._parts.local
        given = hashlib.sha256(request.path_params["secret"].encode()).digest()
        if local is None or self._parts.clock() >= local.expires_at:
            return None
        return local.reviewer if hmac.compare_digest(given, local.digest) else None

    def _signed_in(self, secret: str) -> Response:
        is_secure = self._parts.address().is_secure
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(
            cookie_name(is_secure=is_secure),
            secret,
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="lax",  # from the provider's page a browser brings no strict one along
        )
        return answer
