"""One hold: all that its reviewer must know, and what they may do. Only a POST does anything."""

from collections.abc import Awaitable, Callable

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.core.errors import StaleEtag
from broker.core.sign_ins import SignIn
from broker.reviews import HoldView
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers

Act = Callable[[SignIn, str, FormData], Awaitable[HoldView]]


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of a hold, and one address for each thing that is done with it."""
    holds = _Holds(parts, pages)
    acts: dict[str, Act] = {
        "approve": holds.approve,
        "reject": holds.reject,
        "take": holds.take,
        "give-back": holds.give_back,
        "take-back": holds.take_back,
        "second": holds.second,
    }
    return [
        Route("/holds/{hold}", for_reviewers(parts, pages, holds.show), methods=["GET"]),
        *(
            Route(
                f"/holds/{{hold}}/{name}",
                for_reviewers(parts, pages, holds.doing(act)),
                methods=["POST"],
            )
            for name, act in acts.items()
        ),
    ]


class _Holds:
    def __init__(self, parts: WebParts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def show(self, request: Request, sign_in: SignIn) -> Response:
        view = await self._parts.views.show(sign_in.reviewer, _name(request))
        return self._pages.page(
            request, "hold.html", sign_in=sign_in, view=view, take_back_s=self._parts.take_back_s
        )

    def doing(self, act: Act) -> Callable[[Request, SignIn], Awaitable[Response]]:
        """Do it, and open the hold again as it then is."""

        async def done(request: Request, sign_in: SignIn) -> Response:
            async with request.form(max_fields=100, max_files=0) as form:
                view = await act(sign_in, _name(request), form)
            return RedirectResponse(f"/{view.hold.name}", status_code=303)

        return done

    async def approve(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        return await self._parts.reviews.approve(
            sign_in.reviewer,
            name,
            etag=_etag(form),
            reason=_text(form, "reason"),
            call_digest=_text(form, "call_digest") or "none was shown",
            take_back_s=self._parts.take_back_s,
            sign_in=sign_in.digest,
        )

    async def reject(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        return await self._parts.reviews.reject(
            sign_in.reviewer, name, etag=_etag(form), reason=_text(form, "reason")
        )

    async def take(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        del form
        return await self._parts.handling.take(sign_in.reviewer, name)

    async def give_back(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        del form
        return await self._parts.handling.give_back(sign_in.reviewer, name)

    async def take_back(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        return await self._parts.reviews.take_back(sign_in.reviewer, name, etag=_etag(form))

    async def second(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        return await self._parts.handling.ask_second(
            sign_in.reviewer, name, etag=_etag(form), reason=_text(form, "reason")
        )


def _name(request: Request) -> str:
    return f"holds/{request.path_params['hold']}"


def _text(form: FormData, field: str) -> str:
    value = form.get(field, "")
    return value.strip() if isinstance(value, str) else ""


def _etag(form: FormData) -> int:
    """As it was shown; what is no number was never shown."""
    text = _text(form, "etag")
    if not (text.isascii() and text.isdecimal()):
        raise StaleEtag("The hold has changed since it was shown. Look at it again.")
    return int(text)
