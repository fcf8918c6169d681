"""The queue: what waits, soonest over first, and the stream that keeps it live.

The stream tells names alone. What is new of them is asked for by another request, which says anew
who asks; so nothing that a page holds open can show what its reviewer may no longer see.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from broker.core.errors import NotFound
from broker.core.holds import Reviewer, has_taken, needs_step_up, taken_from
from broker.core.limits import PAGE_SIZE_MAX
from broker.core.sign_ins import SignIn
from broker.reviews import QueueRow
from broker.reviews.selecting import Wanted, alike_kinds, matches, select
from broker.web.flashes import flash_of
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers
from broker.web.streams import LIVE
from broker.web.telling import amount

KEEP_ALIVE_S: Final = 15.0
ROWS_MAX: Final = 50
SPREAD_EACH_MS: Final = 15
SPREAD_MS_MAX: Final = 5_000
SOON_S: Final = 900.0
AGES_S: Final[Mapping[str, float]] = {"10": 600.0, "60": 3_600.0, "240": 14_400.0, "1440": 86_400.0}
_TEXT_MAX: Final = 300


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The queue, single rows of it, and the stream that tells which of them have moved."""
    queue = _Queue(parts, pages)
    return [
        Route("/", for_reviewers(parts, pages, queue.show), methods=["GET"]),
        Route("/rows", for_reviewers(parts, pages, queue.rows), methods=["GET"]),
        Route("/live", for_reviewers(parts, pages, queue.live), methods=["GET"]),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A row as it is shown.

    Attributes:
        is_shown: whether the filter wants it.
        is_soon: whether its time is nearly over.
        is_high: whether it needs a fresh sign-in.
        taken_by: who else is at it; `you` where the reader is.
    """

    row: QueueRow
    is_shown: bool
    is_soon: bool
    is_high: bool
    amount: str
    age_s: float
    left_s: float
    taken_by: str


def item(row: QueueRow, reviewer: Reviewer, wanted: Wanted, *, now: float) -> Item:
    """What a row says."""
    hold = row.hold
    is_own = has_taken(hold, reviewer, now=now)
    taken = "you" if is_own else taken_from(hold, reviewer, now=now)
    return Item(
        row=row,
        is_shown=matches(row, wanted, reviewer, now=now),
        is_soon=hold.decide_by - now < SOON_S,
        is_high=needs_step_up(hold.requirements),
        amount=amount(hold.amount_minor, hold.currency),
        age_s=now - hold.created_at,
        left_s=hold.decide_by - now,
        taken_by=taken,
    )


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """The filter that an address names; what it does not understand does not filter."""
    return Wanted(
        tool=query.get("tool", "")[:_TEXT_MAX],
        agent=query.get("agent", "")[:_TEXT_MAX],
        principal=query.get("principal", "").strip()[:_TEXT_MAX],
        amount_least=_amount(query.get("amount", "")),
        age_least_s=AGES_S.get(query.get("age", ""), 0.0),
        mine=query.get("mine", "") == "1",
    )


class _Queue:
    def __init__(self, parts: WebParts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def show(self, request: Request, sign_in: SignIn) -> Response:
        me, now = sign_in.reviewer, self._parts.clock()
        rows = await self._parts.views.queue(me)
        wanted = wanted_of(request.query_params)
        shown = select(rows, wanted, me, now=now)
        return self._pages.long_page(
            request,
            "queue.html",
            sign_in=sign_in,
            items=[item(row, me, wanted, now=now) for row in shown],
            kinds=alike_kinds(shown, me, now=now),
            wanted=wanted,
            asked=dict(request.query_params),
            is_filtered=wanted != Wanted(mine=wanted.mine),
            choices=_choices(rows),
            counts=counts(rows, me, now=now),
            is_full=len(rows) >= PAGE_SIZE_MAX,
            flash=await flash_of(self._parts, me, request.query_params.get("after", "")),
            query=request.url.query,
        )

    async def rows(self, request: Request, sign_in: SignIn) -> Response:
        """Some rows by themselves, in whatever state they are now."""
        me, now = sign_in.reviewer, self._parts.clock()
        wanted = wanted_of(request.query_params)
        found: list[QueueRow] = []
        for name in dict.fromkeys(request.query_params.getlist("hold")[:ROWS_MAX]):
            try:
                found.append(await self._parts.views.row(me, name))
            except NotFound:
                continue
        items = [item(row, me, wanted, now=now) for row in found]
        return self._pages.page(request, "rows.html", sign_in=sign_in, items=items)

    async def live(self, request: Request, sign_in: SignIn) -> Response:
        """Names of holds that have moved; what is new of them is asked for, and checked, anew."""
        del request, sign_in
        return StreamingResponse(moved(self._parts), media_type=LIVE)


async def moved(parts: WebParts) -> AsyncIterator[str]:
    """Server-sent events that name each hold that opens or changes; `streams` ends them."""
    with parts.events.subscribe("hold") as changes:
        yield ": open\n\n"
        while True:
            name = await changes.next(KEEP_ALIVE_S)
            if name is not None:
                # Not all pages at once: whoever has a call decided meanwhile waits for few of them.
                spread_ms = min(parts.streams.count * SPREAD_EACH_MS, SPREAD_MS_MAX)
                await asyncio.sleep(secrets.randbelow(spread_ms + 1) / 1000)
                yield f"event: hold\ndata: {name}\n\n"
            else:
                yield ": still here\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many wait, and how many of them the reader may decide on."""

    all: int
    mine: int


def counts(rows: Sequence[QueueRow], reviewer: Reviewer, *, now: float) -> Counts:
    """Both numbers of the heading."""
    mine = select(rows, Wanted(mine=True), reviewer, now=now)
    return Counts(all=len(rows), mine=len(mine))


def _choices(rows: Sequence[QueueRow]) -> dict[str, list[str]]:
    holds = [row.hold for row in rows]
    return {
        "tool": sorted({hold.tool for hold in holds}),
        "agent": sorted({hold.agent.id for hold in holds}),
        "principal": sorted({hold.principal.id for hold in holds}),
    }


def _amount(text: str) -> Decimal | None:
    try:
        amount = Decimal(text.strip()[:30])
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
