"""One hold: all that its reviewer must know, and what they may do. Only a POST does anything.

What is done is for exactly what was shown. Where something has changed meanwhile nothing is done:
the page says so, and shows the hold as it is now. After a decision the next hold opens.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.core.errors import (
    BrokerError,
    IllegalTransition,
    NotFound,
    StaleEtag,
)
from broker.core.holds import CHANGED, has_taken, needs_step_up, taken_from
from broker.core.sign_ins import SignIn
from broker.reviews import HoldView, QueueRow
from broker.reviews.docket import etag_of
from broker.reviews.selecting import Wanted, approved_by, is_theirs, position, select
from broker.web.flashes import flash, flash_of
from broker.web.less import changes_in, fields_of
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.queue import counts
from broker.web.reading import read
from broker.web.requests import STATUSES, for_reviewers

Act = Callable[[SignIn, str, FormData], Awaitable[HoldView]]

REASONS: Final = (
    "The user did not ask for this.",
    "The amount is not what the user asked for.",
    "This goes to the wrong person or place.",
    "Ask the user first, and say what it is for.",
    "It rests on a message from a stranger.",
)
"""What reviewers mostly say; any other words do as well."""


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of a hold, and one address for each thing that is done with it."""
    holds = _Holds(parts, pages)
    onward: dict[str, Act] = {"approve": holds.approve, "reject": holds.reject}
    staying: dict[str, Act] = {
        "take": holds.take,
        "give-back": holds.give_back,
        "take-back": holds.take_back,
        "second": holds.second,
        "narrow": holds.narrow,
    }
    doing = {
        **{name: holds.doing(act, goes_on=True) for name, act in onward.items()},
        **{name: holds.doing(act, goes_on=False) for name, act in staying.items()},
    }
    return [
        Route("/holds/{hold}", for_reviewers(parts, pages, holds.show), methods=["GET"]),
        Route("/holds/{hold}/moved", for_reviewers(parts, pages, holds.moved), methods=["GET"]),
        *(
            Route(f"/holds/{{hold}}/{name}", for_reviewers(parts, pages, page), methods=["POST"])
            for name, page in doing.items()
        ),
    ]


class _Holds:
    def __init__(self, parts: WebParts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def show(self, request: Request, sign_in: SignIn) -> Response:
        view = await self._parts.views.show(sign_in.reviewer, _name(request))
        return await self._page(request, sign_in, view)

    async def moved(self, request: Request, sign_in: SignIn) -> Response:
        """Whether a hold is another than the one that a page shows; a piece of that page."""
        row = await self._parts.views.row(sign_in.reviewer, _name(request))
        if request.query_params.get("etag", "") == str(row.hold.etag):
            return Response(status_code=204)
        other = taken_from(row.hold, sign_in.reviewer, now=self._parts.clock())
        return self._pages.page(request, "moved.html", sign_in=sign_in, hold=row.hold, other=other)

    def doing(self, act: Act, *, goes_on: bool) -> Callable[[Request, SignIn], Awaitable[Response]]:
        """Do it; then the next hold opens, or the same again as it then is."""

        async def done(request: Request, sign_in: SignIn) -> Response:
            name = _name(request)
            async with request.form(max_fields=200, max_files=0) as form:
                try:
                    view = await act(sign_in, name, form)
                except NotFound:
                    raise
                except BrokerError as error:
                    return await self._undone(request, sign_in, error)
            where = await self._next(sign_in, view) if goes_on else f"/{view.hold.name}"
            return RedirectResponse(where, status_code=303)

        return done

    async def approve(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        await self._check_opened(sign_in, name, form)
        return await self._parts.reviews.approve(
            sign_in.reviewer,
            name,
            etag=etag_in(form),
            reason=text_in(form, "reason"),
            call_digest=text_in(form, "call_digest") or "none was shown",
            take_back_s=self._parts.take_back_s,
            sign_in=sign_in.digest,
        )

    async def reject(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        return await self._parts.reviews.reject(
            sign_in.reviewer, name, etag=etag_in(form), reason=text_in(form, "reason")
        )

    async def take(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        del form
        return await self._parts.handling.take(sign_in.reviewer, name)

    async def give_back(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        del form
        return await self._parts.handling.give_back(sign_in.reviewer, name)

    async def take_back(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        return await self._parts.reviews.take_back(sign_in.reviewer, name, etag=etag_in(form))

    async def second(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        return await self._parts.handling.ask_second(
            sign_in.reviewer, name, etag=etag_in(form), reason=text_in(form, "reason")
        )

    async def narrow(self, sign_in: SignIn, name: str, form: FormData) -> HoldView:
        view = await self._parts.views.show(sign_in.reviewer, name)
        if etag_in(form) != view.hold.etag:
            raise StaleEtag(CHANGED)
        return await self._parts.handling.narrow(
            sign_in.reviewer,
            name,
            etag=view.hold.etag,
            changes=changes_in(form, view),
            reason=text_in(form, "reason"),
        )

    async def _page(
        self,
        request: Request,
        sign_in: SignIn,
        view: HoldView,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        me, now, hold = sign_in.reviewer, self._parts.clock(), view.hold
        rows = await self._parts.views.queue(me)
        row = QueueRow(hold=hold, reviews=view.reviews, ineligible_reason=view.ineligible_reason)
        return self._pages.page(
            request,
            "hold.html",
            sign_in=sign_in,
            status=status,
            problem=problem,
            view=view,
            hold=hold,
            told=read(view),
            less=fields_of(view),
            reasons=REASONS,
            counts=counts(rows, me, now=now),
            place=position(hold, select(rows, Wanted(mine=True), me, now=now)),
            can_decide=is_theirs(row, me, now=now) and now < hold.decide_by,
            has_approved=approved_by(row, me),
            has_taken=has_taken(hold, me, now=now),
            taken_by=taken_from(hold, me, now=now),
            needs_step_up=needs_step_up(hold.requirements),
            stepped_up=await self._parts.sign_ins.has_stepped_up(sign_in, hold),
            own=flash(row, me, now=now),
            flash=await flash_of(self._parts, me, request.query_params.get("after", "")),
            take_back_s=self._parts.take_back_s,
        )

    async def _undone(self, request: Request, sign_in: SignIn, error: BrokerError) -> Response:
        """Nothing was done: why, and the hold as it is now."""
        view = await self._parts.views.show(sign_in.reviewer, _name(request))
        status = STATUSES.get(error.code, 500)
        return await self._page(request, sign_in, view, problem=str(error), status=status)

    async def _next(self, sign_in: SignIn, view: HoldView) -> str:
        """The next hold that this reviewer may decide on; the queue where there is none."""
        me, now = sign_in.reviewer, self._parts.clock()
        rows = await self._parts.views.queue(me)
        theirs = select(rows, Wanted(mine=True), me, now=now)
        place = position(view.hold, theirs)
        following = place.after or (theirs[0].hold.name if theirs else "")
        after = view.hold.name.partition("/")[2]
        return f"/{following}?after={after}" if following else f"/?after={after}"

    async def _check_opened(self, sign_in: SignIn, name: str, form: FormData) -> None:
        """Nobody says yes to a value of which they were shown the start alone."""
        view = await self._parts.views.show(sign_in.reviewer, name)
        opened = set(form.getlist("opened"))
        if any(key not in opened for key in read(view).must_open):
            raise IllegalTransition("Open what is cut, and read it, before you approve.")


def _name(request: Request) -> str:
    return f"holds/{request.path_params['hold']}"


def text_in(form: FormData, field: str) -> str:
    """A field's text without the space around it; empty where there is none."""
    value = form.get(field, "")
    return value.strip() if isinstance(value, str) else ""


def etag_in(form: FormData, field: str = "etag") -> int:
    """As it was shown; what is no number was never shown.

    Raises:
        StaleEtag: it is none.
    """
    return etag_of(text_in(form, field))
