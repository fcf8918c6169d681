"""Signing in and out. A link only ever opens a page; a button on it does what the link is for.

Also the provider's way back is such a link: the page that it opens sends what came along on, by
itself where scripts run, and only that signs in. Every sign-in is made anew, and ends whichever
this browser had before.
"""

import contextlib
import hmac
import secrets
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.core.credentials import secret_digest
from broker.core.errors import BrokerError, NotPermitted, StaleEtag, Unauthenticated
from broker.core.holds import Reviewer
from broker.web.journeys import Fresh, Journey
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.providers import Identified, NotShown, ProviderAway
from broker.web.requests import STATUSES, cookie, cookie_name, own_path, signed_in

_log = structlog.get_logger(__name__)

BACK: Final = "/sign-in/return"
JOURNEY_LIFE_S: Final = 600
CARRIED: Final = ("code", "state", "iss", "error")
CARRIED_CHARACTERS_MAX: Final = 4_000
OTHER_PERSON: Final = "Somebody else signed in than is signed in here. Nothing was confirmed."
AWAY: Final = (
    "The sign-in service cannot be reached, or answers wrongly. The broker's log says why."
)
_OVER = (
    "This link was used, or its time is over. The browser that used it is signed in; for another,"
    " start the broker again."
)
_NOT_SHOWN = "The sign-in service's answer does not count. The broker's log says why."
_NO_GROUP = (
    "You have signed in, but are in no group that reviews here. Ask whoever runs this broker."
)
_GIVEN_UP = "The sign-in service says that it did not sign you in."
_NO_PROVIDER = "This broker has no sign-in service."


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """Where people sign in and out."""
    doors = Doors(parts, pages)
    return [
        Route("/sign-in", doors.ask, methods=["GET"]),
        Route("/sign-in/begin", doors.begin, methods=["GET"]),
        Route(BACK, doors.come_back, methods=["GET"]),
        Route(BACK, doors.enter, methods=["POST"]),
        Route("/sign-in/{secret}", doors.show_link, methods=["GET"]),
        Route("/sign-in/{secret}", doors.use_link, methods=["POST"]),
        Route("/sign-out", doors.sign_out, methods=["POST"]),
    ]


class Doors:
    """Lets people in and out, by one of two ways."""

    def __init__(self, parts: WebParts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def ask(self, request: Request) -> Response:
        """How one can sign in here."""
        provider = self._parts.provider
        return self._pages.page(
            request,
            "sign_in.html",
            provider=provider.name if provider else "",
            next=own_path(request.query_params.get("next", "/")),
            has_link=self._parts.local is not None,
        )

    async def begin(self, request: Request) -> Response:
        """Off to the provider."""
        next_path = own_path(request.query_params.get("next", "/"))
        return await self.leave(request, next_path=next_path)

    async def leave(
        self, request: Request, *, next_path: str, fresh: Fresh | None = None
    ) -> Response:
        """Send the browser to the provider; nothing here has changed by it."""
        provider = self._parts.provider
        if provider is None:
            return self._pages.problem(request, _NO_PROVIDER, status=404)
        browser = cookie(request, self._browser_cookie) or secrets.token_urlsafe(32)
        state, journey = self._parts.journeys.begin(
            browser, next_path=next_path, now=self._parts.clock(), fresh=fresh
        )
        try:
            door = await provider.door(journey, state, back=self._back)
        except ProviderAway as away:
            return self._away(request, away)
        answer = RedirectResponse(door, status_code=303)
        self._keep(answer, self._browser_cookie, browser, lasting_s=JOURNEY_LIFE_S)
        return answer

    async def come_back(self, request: Request) -> Response:
        """What the provider's link opens; it changes nothing."""
        query = request.query_params
        carried = {name: query.get(name, "")[:CARRIED_CHARACTERS_MAX] for name in CARRIED}
        return self._pages.page(request, "sign_in_return.html", carried=carried)

    async def enter(self, request: Request) -> Response:
        """Who has come back is let in, or has shown anew who they are."""
        async with request.form(max_fields=20, max_files=0) as form:
            given = {name: str(form.get(name, "")) for name in CARRIED}
        provider = self._parts.provider
        if provider is None:
            return self._pages.problem(request, _NO_PROVIDER, status=404)
        try:
            journey = self._parts.journeys.end(
                cookie(request, self._browser_cookie), given["state"], now=self._parts.clock()
            )
            if given["error"]:
                return self._pages.problem(request, _GIVEN_UP, status=403)
            who = await provider.identify(
                journey, code=given["code"], issuer=given["iss"], back=self._back
            )
            return await self._entered(request, journey, who)
        except NotShown as refused:
            _log.warning("sign_in_refused", why=str(refused), provider=provider.terms.issuer)
            return self._pages.problem(request, _NOT_SHOWN, status=403)
        except ProviderAway as away:
            return self._away(request, away)
        except BrokerError as error:
            return self._pages.problem(request, str(error), status=STATUSES.get(error.code, 500))

    async def show_link(self, request: Request) -> Response:
        """What the link opens: whoever only looks at it, a mail scanner say, uses nothing."""
        if self._who(request) is None:
            with contextlib.suppress(Unauthenticated):
                await signed_in(request, self._parts)
                return RedirectResponse("/", status_code=303)  # whom it has let in already
            return self._pages.problem(request, _OVER, status=403)
        return self._pages.page(request, "sign_in_link.html")

    async def use_link(self, request: Request) -> Response:
        """The button on it."""
        who = self._who(request)
        local = self._parts.local
        if who is None or local is None:
            return self._pages.problem(request, _OVER, status=403)
        local.digest = b""  # before anything is awaited: once
        return await self._opened(request, who, how="local", next_path="/")

    async def sign_out(self, request: Request) -> Response:
        """End the sign-in of this browser."""
        with contextlib.suppress(Unauthenticated):
            await self._parts.sign_ins.end(await signed_in(request, self._parts))
        answer = RedirectResponse("/sign-in", status_code=303)
        is_secure = self._parts.address().is_secure
        answer.delete_cookie(cookie_name(is_secure=is_secure), secure=is_secure, httponly=True)
        return answer

    async def _entered(self, request: Request, journey: Journey, who: Identified) -> Response:
        if journey.fresh is not None:
            return await self._confirmed(request, journey.fresh, who)
        if not who.groups:
            _log.warning("sign_in_refused", why="in no group that reviews", person=str(who.person))
            return self._pages.problem(request, _NO_GROUP, status=403)
        reviewer = Reviewer(name=who.name, person=who.person, groups=who.groups)
        return await self._opened(request, reviewer, how="oidc", next_path=journey.next)

    async def _confirmed(self, request: Request, fresh: Fresh, who: Identified) -> Response:
        """The Person who is signed in has signed in anew, for one hold as it was then."""
        sign_in = await signed_in(request, self._parts)
        if sign_in.digest.hex() != fresh.sign_in or sign_in.reviewer.person != who.person:
            return self._pages.problem(request, OTHER_PERSON, status=403, sign_in=sign_in)
        if not set(sign_in.reviewer.groups) <= set(who.groups):
            raise NotPermitted("You are in other groups than before. Sign out, and in again.")
        view = await self._parts.views.show(sign_in.reviewer, fresh.hold)
        hold = view.hold
        if (hold.etag, hold.call_digest) != (fresh.etag, fresh.call_digest):
            raise StaleEtag("The hold has changed meanwhile. Look at it again.")
        await self._parts.sign_ins.step_up(sign_in, hold)
        return RedirectResponse(f"/{hold.name}", status_code=303)

    async def _opened(
        self, request: Request, who: Reviewer, *, how: str, next_path: str
    ) -> Response:
        with contextlib.suppress(Unauthenticated):
            await self._parts.sign_ins.end(await signed_in(request, self._parts))
        secret = await self._parts.sign_ins.open(who, how=how)
        answer = RedirectResponse(next_path, status_code=303)
        self._keep(answer, cookie_name(is_secure=self._parts.address().is_secure), secret)
        return answer

    def _keep(
        self, answer: Response, name: str, value: str, *, lasting_s: int | None = None
    ) -> None:
        answer.set_cookie(
            name,
            value,
            path="/",
            max_age=lasting_s,
            secure=self._parts.address().is_secure,
            httponly=True,
            # Links in mails and the way back from the provider bring no strict cookie along. The
            # browser's own is sent by our page alone, and can be strict.
            samesite="strict" if lasting_s else "lax",
        )

    def _away(self, request: Request, away: ProviderAway) -> Response:
        _log.warning("provider_away", why=str(away))
        return self._pages.problem(request, AWAY, status=503)

    @property
    def _browser_cookie(self) -> str:
        return f"{cookie_name(is_secure=self._parts.address().is_secure)}-browser"

    @property
    def _back(self) -> str:
        return f"{self._parts.address().origin}{BACK}"

    def _who(self, request: Request) -> Reviewer | None:
        local = self._parts.local
        given = secret_digest(request.path_params["secret"])
        if local is None or self._parts.clock() >= local.expires_at:
            return None
        return local.reviewer if hmac.compare_digest(given, local.digest) else None
