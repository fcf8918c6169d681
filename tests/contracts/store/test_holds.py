"""A hold is claimed once, and a person counts once for it."""

import dataclasses

import pytest

from broker.core.errors import IllegalTransition
from broker.core.holds import ReviewEffect
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import AddHold, AddInvocation, AddReview, ConflictOn, MoveHold
from broker.ports import HoldQuery
from broker.store import SqlStore
from tests.store_values import NOW, hold, invocation, opened, refused, review, unit

S = InvocationState
H = HoldState


async def test_a_hold_is_read_back_with_its_reviews(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    stopped = hold(held)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=stopped)))
    assert await store.find_hold(stopped.name) == (stopped, ())
    first = review(stopped, "lead-1")
    veto = review(stopped, "lead-2", effect=ReviewEffect.REJECT, reason="\x00no", counted=False)
    await store.commit(unit(AddReview(review=first), AddReview(review=veto)))
    assert await store.find_hold(stopped.name) == (stopped, (first, veto))


async def test_a_hold_moves_from_the_etag_that_was_seen(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    stopped = hold(held)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=stopped)))
    given = dataclasses.replace(stopped, state=H.APPROVED, run_by=NOW + 300, etag=2)
    await store.commit(unit(MoveHold(hold=given, from_etag=1)))
    assert await store.find_hold(stopped.name) == (given, ())
    await refused(store, ConflictOn.HOLD, MoveHold(hold=given, from_etag=1))
    await refused(store, ConflictOn.HOLD, AddHold(hold=stopped))


async def test_a_claimed_hold_is_never_claimed_again(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    claimed = hold(held, state=H.CLAIMED)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=claimed)))
    for state in H:
        after = dataclasses.replace(claimed, state=state, etag=2)
        with pytest.raises(IllegalTransition):
            await store.commit(unit(MoveHold(hold=after, from_etag=1)))
    assert await store.find_hold(claimed.name) == (claimed, ())


async def test_a_person_counts_once_under_however_many_names(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    stopped = hold(held)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=stopped)))
    first = review(stopped, "lead-1")
    await store.commit(unit(AddReview(review=first)))
    alias = dataclasses.replace(first.reviewer, name="reviewers/other-name")
    again = dataclasses.replace(first, reviewer=alias)
    await refused(store, ConflictOn.REVIEW, AddReview(review=again))
    late = dataclasses.replace(again, counted=False)
    await store.commit(unit(AddReview(review=late)))
    assert await store.find_hold(stopped.name) == (stopped, (first, late))


async def test_holds_are_paged_oldest_first(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    states = [H.PENDING, H.APPROVED, H.PENDING, H.REJECTED, H.PENDING]
    made = [hold(held, state=state) for state in states]
    await store.commit(
        unit(AddInvocation(invocation=held), *(AddHold(hold=stopped) for stopped in made))
    )
    said = review(made[2], "lead-1")
    await store.commit(unit(AddReview(review=said)))
    page = await store.list_holds(HoldQuery(page_size=2))
    assert page == [(made[0], ()), (made[2], (said,))]
    after = page[-1][0].name
    assert await store.list_holds(HoldQuery(page_size=2, after=after)) == [(made[4], ())]
    everything = await store.list_holds(HoldQuery(page_size=9, include_decided=True))
    assert [stopped for stopped, _ in everything] == made
    assert await store.open_holds_of(one.name) == [made[0], made[1], made[2], made[4]]
    assert await store.open_holds_of("sessions/x") == []


async def test_holds_whose_time_has_passed_are_found(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    late = hold(held, decide_by=NOW + 10)
    unused = hold(held, state=H.APPROVED, decide_by=NOW + 10, run_by=NOW + 20)
    over = hold(held, state=H.EXPIRED, decide_by=NOW + 5)
    await store.commit(
        unit(AddInvocation(invocation=held), *(AddHold(hold=h) for h in (late, unused, over)))
    )
    assert await store.overdue(now=NOW + 9.9) == []
    assert await store.overdue(now=NOW + 10) == [late]
    assert await store.overdue(now=NOW + 20) == [late, unused]
