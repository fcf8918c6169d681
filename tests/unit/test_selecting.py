"""Which holds a reviewer wants to see, and which of them are theirs to decide."""

from dataclasses import replace
from decimal import Decimal

import pytest

from broker.core.holds import Review, ReviewEffect, ineligible
from broker.core.lifecycle import HoldState
from broker.reviews import QueueRow
from broker.reviews.selecting import Wanted, alike_kinds, is_theirs, position, select
from tests.hold_views import view
from tests.world import NOW, reviewer

LEAD = reviewer("lead", "reviewers")
OTHER = reviewer("other", "reviewers")
FIRST = view({"amount_minor": 5_500, "currency": "EUR"}, name="holds/1", decide_by=NOW + 60).hold
SECOND = replace(
    FIRST, name="holds/2", decide_by=NOW + 30, tool="mail", amount_minor=None, created_at=NOW - 900
)


def row(hold, *reviews, who=LEAD):
    return QueueRow(hold=hold, reviews=reviews, ineligible_reason=ineligible(hold, who))


def names(rows, **wanted):
    return [one.hold.name for one in select(rows, Wanted(**wanted), LEAD, now=NOW)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["holds/2", "holds/1"]),
        ({"tool": "mail"}, ["holds/2"]),
        ({"agent": "agents/support-assistant"}, ["holds/2", "holds/1"]),
        ({"agent": "agents/nobody"}, []),
        ({"principal": "customers/c-9"}, []),
        ({"amount_least": Decimal(55)}, ["holds/1"]),
        ({"amount_least": Decimal("55.01")}, []),
        ({"age_least_s": 900.0}, ["holds/2"]),
    ],
)
def test_soonest_over_comes_first_and_a_filter_leaves_the_rest_out(wanted, found):
    assert names([row(FIRST), row(SECOND)], **wanted) == found


def test_an_amount_is_in_units_of_its_currency():
    yen = replace(FIRST, currency="JPY", amount_minor=100)
    assert names([row(yen)], amount_least=Decimal(100)) == ["holds/1"]


def test_theirs_is_what_nobody_else_is_at_and_they_have_not_reviewed():
    approved = Review(
        hold=FIRST.name, reviewer=LEAD, effect=ReviewEffect.APPROVE, reason="", etag=1, at=NOW
    )
    taken = replace(FIRST, taken_by=OTHER, taken_until=NOW + 300)
    assert is_theirs(row(FIRST), LEAD, now=NOW)
    assert not is_theirs(row(taken), LEAD, now=NOW)
    assert is_theirs(row(taken), LEAD, now=NOW + 300)
    assert is_theirs(row(replace(taken, taken_by=LEAD)), LEAD, now=NOW)
    assert not is_theirs(row(FIRST, approved), LEAD, now=NOW)
    assert is_theirs(row(FIRST, replace(approved, counted=False)), LEAD, now=NOW)
    assert not is_theirs(row(FIRST, who=reviewer("x", "others")), LEAD, now=NOW)
    assert not is_theirs(row(replace(FIRST, state=HoldState.APPROVED)), LEAD, now=NOW)


def test_where_a_hold_stands_and_stood():
    rows = [replace(FIRST, name=f"holds/{n}", decide_by=NOW + n) for n in (1, 2, 3)]
    theirs = [row(one) for one in rows]
    middle = position(rows[1], theirs)
    assert (middle.number, middle.count) == (2, 3)
    assert (middle.before, middle.after) == ("holds/1", "holds/3")
    gone = position(rows[1], [theirs[0], theirs[2]])
    assert (gone.number, gone.before, gone.after) == (0, "holds/1", "holds/3")
    assert position(rows[0], []).count == 0


def test_alike_are_two_or_more_that_are_theirs():
    one = replace(FIRST, alike="x")
    two = replace(one, name="holds/2")
    assert alike_kinds([row(one)], LEAD, now=NOW) == {}
    assert list(alike_kinds([row(one), row(two)], LEAD, now=NOW)) == ["x"]
    taken = replace(two, taken_by=OTHER, taken_until=NOW + 300)
    assert alike_kinds([row(one), row(taken)], LEAD, now=NOW) == {}
    alone = [row(replace(hold, alike="")) for hold in (one, two)]
    assert alike_kinds(alone, LEAD, now=NOW) == {}
