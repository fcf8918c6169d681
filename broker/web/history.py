"""Decided holds, newest first, a page at a time."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.audit import EntryKind
from broker.core.errors import NotFound
from broker.core.holds import Hold, Review
from broker.core.lifecycle import HoldState
from broker.core.sign_ins import SignIn
from broker.core.story import Moment
from broker.core.summary import format_money
from broker.reviews.browsing import HoldFilter
from broker.reviews.stories import Story
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
class Voided:
    """What made a hold void, as the log says.

    Attributes:
        less: the hold that a reviewer opened in its place with less in it; empty where the call was
            looked at again and decided otherwise.
        by: the reviewer who did; empty where it was the broker.
        reason: in that reviewer's words, where they gave one.
        is_denied: whether the call was denied when it was looked at again.
        codes: what stopped it then.
    """

    less: str
    by: str
    reason: str
    is_denied: bool
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A decided hold as a list shows it.

    Attributes:
        amount: for people; empty where the call is not about money.
        reviews: those that counted.
        took_s: from its opening until the last of those; None where there are none.
        voided: None where it is not void, or where the log does not say.
        withdrawn_by: who took the call back; empty where nobody did, or where the log does not say.
    """

    hold: Hold
    amount: str
    outcome: str
    reviews: tuple[Review, ...]
    took_s: float | None
    voided: Voided | None
    withdrawn_by: str

    @property
    def too_late(self) -> str:
        """What was not done in time; empty unless it has expired."""
        if self.hold.state is not HoldState.EXPIRED:
            return ""
        return "not used in time" if self.hold.run_by else "not decided in time"


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
        stories = await _stories(parts, [hold for hold, _ in page.rows])
        filters = {name: value for name, value in asked.items() if value}
        return pages.page(
            request,
            "history.html",
            sign_in=sign_in,
            rows=[_row(hold, reviews, stories.get(hold.invocation)) for hold, reviews in page.rows],
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


async def _stories(parts: WebParts, holds: Sequence[Hold]) -> Mapping[str, Story]:
    """Of the calls, by name, whose holds somebody or something ended otherwise than by deciding."""
    stories: dict[str, Story] = {}
    for hold in holds:
        if hold.state not in {HoldState.VOID, HoldState.WITHDRAWN} or hold.invocation in stories:
            continue
        with contextlib.suppress(NotFound):
            stories[hold.invocation] = await parts.records.stories.tell(hold.invocation)
    return stories


def voided_in(story: Story, name: str) -> Voided | None:
    """What made the hold of this name void; None where the story does not say."""
    less = next((hold.name for hold, _ in story.holds if hold.narrows == name), "")
    by_people = [one for one in story.moments if one.hold == name and _has_made_less(one)]
    if by_people:
        act = by_people[-1]
        reason = dict(act.said).get("reason", "")
        return Voided(less=less, by=act.actor, reason=reason, is_denied=False, codes=())
    at = _changed_at(story, name)
    if at is None:
        return None
    after = story.moments[at:]
    again = next((one for one in after if one.kind == EntryKind.CALL_DECIDED), None)
    verdicts = again.verdicts if again else ()
    stopped = [one for one in verdicts if one.effect != "ALLOW" and one.is_enforced]
    return Voided(
        less="",
        by="",
        reason="",
        is_denied=any(one.effect == "DENY" for one in stopped),
        codes=tuple(dict.fromkeys(one.code for one in stopped)),
    )


def _changed_at(story: Story, name: str) -> int | None:
    """Which moment ended the hold of this name."""
    changed = [
        at
        for at, one in enumerate(story.moments)
        if one.hold == name and one.kind == EntryKind.HOLD_CHANGED
    ]
    return changed[-1] if changed else None


def _has_made_less(moment: Moment) -> bool:
    return moment.kind == EntryKind.REVIEW_GIVEN and any(
        name == "narrowed digest" for name, _ in moment.details
    )


def _row(hold: Hold, reviews: Sequence[Review], story: Story | None) -> Row:
    counted = tuple(review for review in reviews if review.counted)
    is_money = hold.amount_minor is not None
    voided, withdrawn_by = None, ""
    if story is not None and hold.state is HoldState.VOID:
        voided = voided_in(story, hold.name)
    elif story is not None and (at := _changed_at(story, hold.name)) is not None:
        withdrawn_by = story.moments[at].actor
    return Row(
        hold=hold,
        amount=format_money(hold.amount_minor, hold.currency) if is_money else "",
        outcome=OUTCOMES.get(hold.state, hold.state.value),
        reviews=counted,
        took_s=max(review.at for review in counted) - hold.created_at if counted else None,
        voided=voided,
        withdrawn_by=withdrawn_by,
    )
