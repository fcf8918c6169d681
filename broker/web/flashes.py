"""What came of the reader's last act, said on the page that opens after it.

It is read from the store when it is shown, never carried in the address: an address names a hold,
and says nothing of it that is not so.
"""

from dataclasses import dataclass

from broker.core.errors import NotFound
from broker.core.holds import Reviewer
from broker.core.lifecycle import HoldState
from broker.reviews import QueueRow
from broker.reviews.selecting import approved_by
from broker.web.parts import WebParts

_NAME_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """What is said.

    Attributes:
        name: of the hold.
        text: what came of it.
        can_take_back: whether the reader's yes can be taken back.
        left_s: for how long, seconds; 0 where that has no end yet.
    """

    name: str
    summary: str
    text: str
    etag: int
    can_take_back: bool
    left_s: float


async def flash_of(parts: WebParts, reviewer: Reviewer, after: str) -> Flash | None:
    """What came of a hold that this reviewer has said something to; None of any other."""
    if not after or len(after) > _NAME_MAX:
        return None
    try:
        row = await parts.views.row(reviewer, f"holds/{after}")
    except NotFound:
        return None
    if not any(r.reviewer.person == reviewer.person for r in row.reviews):
        return None
    return flash(row, reviewer, now=parts.clock())


def flash(row: QueueRow, reviewer: Reviewer, *, now: float) -> Flash:
    """What came of it so far."""
    hold = row.hold
    is_yes = approved_by(row, reviewer)
    left_s = max(hold.run_from - now, 0.0) if hold.state is HoldState.APPROVED else 0.0
    can_take_back = is_yes and (hold.state is HoldState.PENDING or left_s > 0)
    return Flash(
        name=hold.name,
        summary=hold.summary,
        text=_text(row, is_yes=is_yes, left_s=left_s),
        etag=hold.etag,
        can_take_back=can_take_back,
        left_s=left_s,
    )


def _text(row: QueueRow, *, is_yes: bool, left_s: float) -> str:
    state = row.hold.state
    if state is HoldState.PENDING:
        return "Your yes counts; another is needed" if is_yes else "It waits again"
    if state is HoldState.APPROVED:
        return "Approved" if left_s > 0 else "Approved, and about to run"
    if state is HoldState.REJECTED:
        return "Rejected; the agent is told why"
    return _ENDED.get(state, f"It is {state.value.lower()}")


_ENDED = {
    HoldState.CLAIMED: "Approved, and taken up",
    HoldState.EXPIRED: "Its time was over",
    HoldState.VOID: "What it was for has changed; nothing ran",
}
