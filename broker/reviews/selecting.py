"""Which of the holds that wait a reviewer wants to see; soonest over comes first.

Nothing here says what a reviewer may do. That is looked at again whenever they do something.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from broker.core.holds import Hold, ReviewEffect, Reviewer, taken_from
from broker.core.lifecycle import HoldState
from broker.core.summary import format_amount
from broker.reviews.showing import QueueRow

ALIKE_MIN: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A filter. Empty fields do not filter.

    Attributes:
        amount_least: in whole units of whatever currency; what has no amount is left out.
        age_least_s: seconds since it was opened.
        mine: what this reviewer may decide on now (`is_theirs`).
    """

    tool: str = ""
    agent: str = ""
    principal: str = ""
    amount_least: Decimal | None = None
    age_least_s: float = 0.0
    mine: bool = False


def select(
    rows: Iterable[QueueRow], wanted: Wanted, reviewer: Reviewer, *, now: float
) -> list[QueueRow]:
    """Those that are wanted, soonest over first."""
    found = [row for row in rows if matches(row, wanted, reviewer, now=now)]
    return sorted(found, key=lambda row: (row.hold.decide_by, row.hold.name))


def matches(row: QueueRow, wanted: Wanted, reviewer: Reviewer, *, now: float) -> bool:
    """Whether one is wanted."""
    hold = row.hold
    return (
        wanted.tool in {"", hold.tool}
        and wanted.agent in {"", hold.agent.id}
        and wanted.principal in {"", hold.principal.id}
        and now - hold.created_at >= wanted.age_least_s
        and _is_worth(hold, wanted.amount_least)
        and (not wanted.mine or is_theirs(row, reviewer, now=now))
    )


def is_theirs(row: QueueRow, reviewer: Reviewer, *, now: float) -> bool:
    """Whether this reviewer may say yes or no now: nobody else is at it, and they have not yet."""
    hold = row.hold
    return (
        hold.state is HoldState.PENDING
        and not row.ineligible_reason
        and not taken_from(hold, reviewer, now=now)
        and not any(r.counted and r.reviewer.person == reviewer.person for r in row.reviews)
    )


def alike_kinds(
    rows: Iterable[QueueRow], reviewer: Reviewer, *, now: float
) -> dict[str, list[QueueRow]]:
    """What this reviewer could decide together, by what is alike; at least two of each."""
    theirs = [row for row in rows if row.hold.alike and is_theirs(row, reviewer, now=now)]
    many = Counter(row.hold.alike for row in theirs)
    kinds: dict[str, list[QueueRow]] = {}
    for row in sorted(theirs, key=lambda row: (row.hold.decide_by, row.hold.name)):
        if many[row.hold.alike] >= ALIKE_MIN:
            kinds.setdefault(row.hold.alike, []).append(row)
    return kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a hold stands among those that a reviewer may decide on.

    Attributes:
        number: from 1; 0 where it is none of them.
        before, after: names of its neighbours; empty where there is none.
    """

    number: int
    count: int
    before: str
    after: str


def position(hold: Hold, theirs: Sequence[QueueRow]) -> Position:
    """Where a hold stands, or stood: one that is gone has the neighbours that it had.

    Args:
        hold: any hold.
        theirs: what its reviewer may decide on, as `select` orders it.
    """
    at = (hold.decide_by, hold.name)
    earlier = [row.hold.name for row in theirs if (row.hold.decide_by, row.hold.name) < at]
    later = [row.hold.name for row in theirs if (row.hold.decide_by, row.hold.name) > at]
    is_among = len(earlier) + len(later) < len(theirs)
    return Position(
        number=len(earlier) + 1 if is_among else 0,
        count=len(theirs),
        before=earlier[-1] if earlier else "",
        after=later[0] if later else "",
    )


def approved_by(row: QueueRow, reviewer: Reviewer) -> bool:
    """Whether this Person's yes counts on it."""
    return any(
        r.counted and r.effect is ReviewEffect.APPROVE and r.reviewer.person == reviewer.person
        for r in row.reviews
    )


def _is_worth(hold: Hold, least: Decimal | None) -> bool:
    if least is None:
        return True
    if hold.amount_minor is None:
        return False
    return Decimal(format_amount(hold.amount_minor, hold.currency)) >= least
