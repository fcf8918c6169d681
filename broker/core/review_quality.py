"""How well people review, in figures: from holds and what was said of them, and from nothing else.

A figure is only as good as what it counts. Time to decide runs from the opening of a hold until the
review that decided it; who was quick is told by reviews given within seconds of that opening, for
holds that were not made by narrowing (those have been looked at before they open). Holds that were
withdrawn or became void were decided by nobody.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from broker.core.holds import ReviewEffect
from broker.core.lifecycle import HoldState

QUICK_S: Final = 5.0
"""A review within so many seconds of the hold's opening can hardly have been a look at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSeen:
    """One Person's say; `person` tells Persons apart, `reviewer` is what they are called."""

    person: str
    reviewer: str
    effect: ReviewEffect
    at: float
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldSeen:
    """A hold as far as it is counted.

    Attributes:
        codes: that stopped the call.
        is_approved: whether it was approved, whatever became of it after that.
        is_narrowed: whether it was made by narrowing another.
        reviews: oldest first.
    """

    name: str
    tool: str
    state: HoldState
    codes: tuple[str, ...]
    created_at: float
    is_approved: bool
    is_narrowed: bool
    reviews: tuple[ReviewSeen, ...]


class Counted(NamedTuple):
    """A hold, how long it took to decide, seconds, and whether a review of it was quick."""

    hold: HoldSeen
    length_s: float | None
    is_quick: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What became of some holds.

    Attributes:
        holds: all of them.
        approved, rejected, expired: how many were; one whose approval was not used in time is both
            approved and expired.
        median_s, p90_s: time to decide of those that a review decided; None where none was.
        quick: how many had a review within `QUICK_S` of their opening.
    """

    holds: int
    approved: int
    rejected: int
    expired: int
    median_s: float | None
    p90_s: float | None
    quick: int

    @property
    def approved_share(self) -> float | None:
        """Of those that were approved or rejected; None where there are none."""
        both = self.approved + self.rejected
        return self.approved / both if both else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one reviewer said.

    Attributes:
        person: `issuer#subject`.
        reviewers: the names under which they did.
        approvals, rejections: that count.
        uncounted: that came too late, or were taken back.
        median_s: from the opening of a hold until their review; None where none counts.
        quick: how many of those that count came within `QUICK_S`.
    """

    person: str
    reviewers: tuple[str, ...]
    approvals: int
    rejections: int
    uncounted: int
    median_s: float | None
    quick: int

    @property
    def approved_share(self) -> float | None:
        """Of what counts; None where nothing does."""
        both = self.approvals + self.rejections
        return self.approvals / both if both else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The quality of review since some time.

    Attributes:
        by_code: most holds first; a hold with several codes is in several of them.
        by_tool: likewise.
        by_reviewer: who said most first.
    """

    since: float
    all: Decided
    by_code: tuple[tuple[str, Decided], ...]
    by_tool: tuple[tuple[str, Decided], ...]
    by_reviewer: tuple[Given, ...]


def counted(hold: HoldSeen) -> Counted:
    """What of a hold is the same in all figures."""
    return Counted(hold, _length(hold), any(_is_quick(hold, one) for one in hold.reviews))


def quality(holds: Iterable[Counted], *, since: float) -> Quality:
    """The figures over the holds that opened at or after `since`."""
    within = [one for one in holds if one.hold.created_at >= since]
    by_code: dict[str, list[Counted]] = defaultdict(list)
    by_tool: dict[str, list[Counted]] = defaultdict(list)
    for one in within:
        by_tool[one.hold.tool].append(one)
        for code in one.hold.codes:
            by_code[code].append(one)
    return Quality(
        since=since,
        all=_decided(within),
        by_code=_most_first(by_code),
        by_tool=_most_first(by_tool),
        by_reviewer=_given(one.hold for one in within if one.hold.reviews),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of all is not above (nearest rank); None of none."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def _most_first(groups: dict[str, list[Counted]]) -> tuple[tuple[str, Decided], ...]:
    told = ((name, _decided(holds)) for name, holds in groups.items())
    return tuple(sorted(told, key=lambda one: (-one[1].holds, one[0])))


def _decided(holds: Sequence[Counted]) -> Decided:
    lengths = sorted([one.length_s for one in holds if one.length_s is not None])
    states = [one.hold.state for one in holds]
    return Decided(
        holds=len(holds),
        approved=[one.hold.is_approved for one in holds].count(True),
        rejected=states.count(HoldState.REJECTED),
        expired=states.count(HoldState.EXPIRED),
        median_s=percentile(lengths, 0.5),
        p90_s=percentile(lengths, 0.9),
        quick=[one.is_quick for one in holds].count(True),
    )


def _length(hold: HoldSeen) -> float | None:
    """From its opening until the review that decided it; None where none did."""
    is_rejected = hold.state is HoldState.REJECTED
    if not is_rejected and not hold.is_approved:
        return None
    wanted = ReviewEffect.REJECT if is_rejected else ReviewEffect.APPROVE
    said = [one.at for one in hold.reviews if one.counted and one.effect is wanted]
    return max(max(said) - hold.created_at, 0.0) if said else None


def _is_quick(hold: HoldSeen, review: ReviewSeen) -> bool:
    return review.counted and not hold.is_narrowed and review.at - hold.created_at < QUICK_S


def _given(holds: Iterable[HoldSeen]) -> tuple[Given, ...]:
    said: dict[str, list[tuple[HoldSeen, ReviewSeen]]] = defaultdict(list)
    for hold in holds:
        for review in hold.reviews:
            said[review.person].append((hold, review))
    told = (_given_by(person, pairs) for person, pairs in said.items())
    return tuple(sorted(told, key=lambda one: (-one.approvals - one.rejections, one.person)))


def _given_by(person: str, pairs: Sequence[tuple[HoldSeen, ReviewSeen]]) -> Given:
    counted = [(hold, review) for hold, review in pairs if review.counted]
    effects = [review.effect for _, review in counted]
    return Given(
        person=person,
        reviewers=tuple(dict.fromkeys(review.reviewer for _, review in pairs)),
        approvals=effects.count(ReviewEffect.APPROVE),
        rejections=effects.count(ReviewEffect.REJECT),
        uncounted=len(pairs) - len(counted),
        median_s=percentile([max(r.at - h.created_at, 0.0) for h, r in counted], 0.5),
        quick=sum(_is_quick(hold, review) for hold, review in counted),
    )
