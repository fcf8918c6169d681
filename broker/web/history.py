"""Decided holds, newest first, a page at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.holds import Hold, Review
from broker.core.lifecycle import HoldState
from broker.core.sign_ins import SignIn
from broker.core.summary import format_money
from broker.reviews.browsing import HoldFilter
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers

FIELD_CHARACTERS_MAX: Final = 300
OUTCOMES: Final[Mapping[HoldState, str]] = {
    HoldState.CLAIMED: "Approved",
    HoldState.REJECTED: "Rejected",
    HoldState.EXPIRED: "Expired",
    HoldState.WITHDRAWN: "Withdrawn",
    HoldState.VOID: "Void",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A decided hold as a list shows it.

    Attributes:
        amount: for people; empty where the call is not about money.
        reviews: those that counted.
        took_s: from its opening until the last of those; None where there are none.
    """

    hold: Hold
    amount: str
    outcome: str
    reviews: tuple[Review, ...]
    took_s: float | None


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of decided holds."""

    async def show(request: Request, sign_in: SignIn) -> Response:
        asked = {name: field(request, name) for name in ("tool", "principal", "agent", "state")}
        wanted = HoldFilter(
            tool=asked["tool"],
            principal=asked["principal"],
            agent=asked["agent"],
            state=_state(asked["state"]),
        )
        browse = parts.records.browse
        before = field(request, "before")
        page = await browse.history(wanted, before=before)
        filters = {name: value for name, value in asked.items() if value}
        return pages.page(
            request,
            "history.html",
            sign_in=sign_in,
            rows=[_row(hold, reviews) for hold, reviews in page.rows],
            filters=filters,
            tools=browse.tools(),
            outcomes=OUTCOMES,
            older=_address({**filters, "before": page.following}) if page.following else "",
            newest=_address(filters) if before else "",
        )

    return [Route("/history", for_reviewers(parts, pages, show), methods=["GET"])]


def field(request: Request, name: str) -> str:
    """A field of the address; what is too long to be anything is cut."""
    return request.query_params.get(name, "").strip()[:FIELD_CHARACTERS_MAX]


def _state(name: str) -> HoldState | None:
    """What is no state does not filter."""
    return HoldState(name) if name in OUTCOMES else None


def _address(query: Mapping[str, str]) -> str:
    return f"/history?{urlencode(query)}" if query else "/history"


def _row(hold: Hold, reviews: Sequence[Review]) -> Row:
    counted = tuple(review for review in reviews if review.counted)
    is_money = hold.amount_minor is not None
    return Row(
        hold=hold,
        amount=format_money(hold.amount_minor, hold.currency) if is_money else "",
        outcome=OUTCOMES.get(hold.state, hold.state.value),
        reviews=counted,
        took_s=max(review.at for review in counted) - hold.created_at if counted else None,
    )
