"""How well people review, counted from holds and what was said of them."""

from broker.core.holds import ReviewEffect
from broker.core.lifecycle import HoldState
from broker.core.review_quality import (
    HoldSeen,
    ReviewSeen,
    counted,
    percentile,
)
from broker.core.review_quality import quality as quality_of

YES, NO = ReviewEffect.APPROVE, ReviewEffect.REJECT
H = HoldState


def quality(holds, *, since):
    return quality_of([counted(hold) for hold in holds], since=since)


def said(after_s: float, effect: ReviewEffect = YES, *, who: str = "a", counted: bool = True):
    return ReviewSeen(
        person=f"local#{who}", reviewer=who, effect=effect, at=1_000 + after_s, counted=counted
    )


def seen(state: HoldState, *reviews: ReviewSeen, codes=("LARGE",), approved=False, **given):
    return HoldSeen(
        name="holds/x",
        tool="refund",
        state=state,
        codes=codes,
        created_at=given.pop("created_at", 1_000),
        is_approved=approved,
        is_narrowed=given.pop("narrowed", False),
        reviews=reviews,
    )


def test_time_to_decide_runs_until_the_review_that_decided():
    told = quality(
        [
            seen(H.CLAIMED, said(60), said(100, who="b"), approved=True),
            seen(H.REJECTED, said(10), said(20, NO, who="b")),
            seen(H.EXPIRED),
            seen(H.PENDING, said(30)),
            seen(H.VOID),
        ],
        since=0,
    ).all
    assert (told.holds, told.approved, told.rejected, told.expired) == (5, 1, 1, 1)
    assert (told.median_s, told.p90_s) == (20, 100)
    assert told.approved_share == 0.5


def test_an_approval_that_was_not_used_in_time_was_one():
    told = quality([seen(H.EXPIRED, said(60), approved=True)], since=0).all
    assert (told.approved, told.expired, told.median_s) == (1, 1, 60)


def test_a_hold_with_several_codes_counts_for_each():
    told = quality([seen(H.REJECTED, said(9, NO), codes=("A", "B")), seen(H.PENDING)], since=0)
    assert [(code, one.holds) for code, one in told.by_code] == [("A", 1), ("B", 1), ("LARGE", 1)]
    assert told.by_tool[0][1].holds == 2


def test_only_who_could_not_have_looked_is_quick():
    holds = [
        seen(H.CLAIMED, said(4.9), approved=True),
        seen(H.CLAIMED, said(5), approved=True),
        seen(H.CLAIMED, said(1), approved=True, narrowed=True),
        seen(H.PENDING, said(1, counted=False)),
    ]
    told = quality(holds, since=0)
    assert told.all.quick == 1
    (given,) = told.by_reviewer
    assert (given.approvals, given.uncounted, given.quick) == (3, 1, 1)


def test_a_person_is_one_under_however_many_names():
    other = ReviewSeen(person="local#a", reviewer="alias", effect=NO, at=1_030, counted=True)
    told = quality([seen(H.CLAIMED, said(10), approved=True), seen(H.REJECTED, other)], since=0)
    (given,) = told.by_reviewer
    assert given.reviewers == ("a", "alias")
    assert (given.approvals, given.rejections, given.approved_share) == (1, 1, 0.5)
    assert given.median_s == 10


def test_what_opened_before_is_left_out_and_nothing_has_no_share():
    told = quality([seen(H.CLAIMED, said(1), approved=True)], since=2_000)
    assert (told.all.holds, told.all.approved_share, told.all.median_s) == (0, None, None)
    assert told.by_reviewer == ()


def test_a_percentile_is_a_value_that_there_is():
    assert percentile([], 0.5) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0, 2.0], 0.5) == 1.0
    assert percentile([float(n) for n in range(1, 11)], 0.9) == 9.0
