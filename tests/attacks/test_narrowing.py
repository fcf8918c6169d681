"""Approving less is used to run more, something else, longer, or without those who decide."""

from pathlib import Path
from typing import Any

import pytest

from broker.core.errors import (
    IllegalTransition,
    MalformedRequest,
    NotPermitted,
    PolicyUnavailable,
    StaleEtag,
)
from broker.core.holds import TAKEN_S
from broker.core.lifecycle import HoldState, InvocationState
from tests.attacks.narrowing import (
    ASKED,
    FRESH,
    LEAD,
    SECOND,
    TWO,
    held,
    less_of,
    now,
    quiet,
    written,
)
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.world import CUSTOMER, reviewer, world


@pytest.mark.parametrize(
    "changes",
    [
        {"/amount_minor": 5_501},
        {"/amount_minor": 5_500},
        {"/amount_minor": -5_500},
        {"/amount_minor": True},
        {"/amount_minor": 4_000.0},
        {"/amount_minor": 10**400},
        {"/amount_minor": "4000"},
        {"/amount_minor": None},
        {"/tell": ["bob", "ann"]},
        {"/tell": ["ann", "ann"]},
        {"/tell": ["eve"]},
        {"/tell": [True]},
        {"/tell": []},
        {"/tell": ["ann", "bob", 1]},
        {"/tell/0": "eve"},
        {"/deep": {"count": 1, "name": "x"}},
        {"/deep/count": 1, "/deep": {"count": 2, "name": "eve"}},
        {"/deep/name": ""},
        {"/deep/count/": 1},
        {"/amount_minor": 4_000, "/order_id": "O-1002"},
        {"/amount_minor": 4_000, "/currency": "USD"},
        {"/order_id": "O-1002"},
        {"/reason": "because"},
        {"": {"order_id": "O-1002", "amount_minor": 1, "currency": "EUR"}},
        {"/": 1},
        {},
    ],
)
async def test_whatever_is_wider_or_something_else_changes_nothing(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Have more approved by approving less: another order, order, spelling, type or place."""
    async with world(tmp_path) as w:
        one = await held(w)
        before = written(tmp_path)
        with pytest.raises(MalformedRequest):
            await less_of(w, one, changes=changes)
        assert written(tmp_path) == before
        assert not w.runner.ran


async def test_what_policy_denies_of_the_narrowed_call_changes_nothing(tmp_path: Path) -> None:
    """Narrow a call until policy denies it, so that the one that waits is gone."""
    async with world(tmp_path) as w:
        one = await held(w)
        before = written(tmp_path)
        for answer in (deny("TOO_LITTLE"), deny("TOO_LITTLE")):
            w.policy.answer = opinion(answer)
            with pytest.raises(IllegalTransition, match="TOO_LITTLE"):
                await less_of(w, one)
        with pytest.raises(IllegalTransition, match="ARGUMENTS_INVALID"):
            await less_of(w, one, changes={"/amount_minor": 0})
        w.policy.away = True
        with pytest.raises(PolicyUnavailable):
            await less_of(w, one)
        assert written(tmp_path) == before
        w.policy.away = False
        w.policy.answer = opinion(hold("LARGE"))
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        await quiet(w)
        assert w.runner.ran[0].invocation.call.arguments["amount_minor"] == 5_500


@pytest.mark.parametrize(
    "who",
    [
        reviewer("somebody", "others"),
        reviewer("me", "reviewers", person=CUSTOMER),
        reviewer("my-owner", "reviewers", person="agent-owner"),
    ],
)
async def test_who_may_not_decide_narrows_nothing(tmp_path: Path, who: Any) -> None:
    """Make one's own request, one's own agent's, or somebody else's business less."""
    async with world(tmp_path) as w:
        one = await held(w)
        before = written(tmp_path)
        with pytest.raises(NotPermitted):
            await less_of(w, one, reviewer=who)
        assert written(tmp_path) == before


async def test_a_stale_tab_or_somebody_elses_hold_narrows_nothing(tmp_path: Path) -> None:
    """Narrow what one saw before it was another, or what a colleague is at."""
    async with world(tmp_path) as w:
        one = await held(w)
        for etag in (one.etag + 1, one.etag - 1):
            with pytest.raises(StaleEtag):
                await less_of(w, one, etag=etag)
        taken = (await w.handling.take(SECOND, one.name)).hold
        with pytest.raises(IllegalTransition, match="lead-2 has taken"):
            await less_of(w, taken)
        w.clock.advance(TAKEN_S)
        less = await less_of(w, taken)
        with pytest.raises(IllegalTransition, match="VOID"):
            await less_of(w, await now(w, one), changes={"/amount_minor": 3_000})
        assert (await now(w, less)).state is HoldState.PENDING


async def test_what_is_approved_is_not_narrowed_any_more(tmp_path: Path) -> None:
    """Have one amount approved, and put another in its place before it runs."""
    async with world(tmp_path) as w:
        one = await held(w)
        approved = (await w.reviews.approve(LEAD, one.name, etag=one.etag, take_back_s=10)).hold
        with pytest.raises(IllegalTransition, match="APPROVED"):
            await less_of(w, approved)
        w.clock.advance(10)
        await w.recovery.sweep_once()
        await quiet(w)
        with pytest.raises(IllegalTransition, match="CLAIMED"):
            await less_of(w, await now(w, one))
        assert [c.invocation.call.arguments["amount_minor"] for c in w.runner.ran] == [5_500]


async def test_no_yes_to_the_wider_call_counts_for_the_narrowed_one(tmp_path: Path) -> None:
    """Have a colleague's approval of one call counted for another one."""
    async with world(tmp_path) as w:
        one = await held(w, TWO)
        first = (await w.reviews.approve(SECOND, one.name, etag=one.etag)).hold
        less = await less_of(w, first)
        assert (await w.store.find_hold(less.name))[1] == ()
        with pytest.raises(IllegalTransition, match="VOID"):
            await w.reviews.approve(LEAD, one.name, etag=first.etag + 1)
        once = (await w.reviews.approve(LEAD, less.name, etag=less.etag)).hold
        assert once.state is HoldState.PENDING
        await quiet(w)
        assert not w.runner.ran
        await w.reviews.approve(SECOND, less.name, etag=once.etag)
        await quiet(w)
        assert [c.invocation.call.arguments["amount_minor"] for c in w.runner.ran] == [4_000]


@pytest.mark.parametrize("answer", [allow(), hold("OTHER")])
async def test_narrowing_drops_nobody_who_was_needed(tmp_path: Path, answer: Any) -> None:
    """Make it so small that policy asks for nobody, or fewer people, and have it run."""
    async with world(tmp_path) as w:
        one = await held(w, TWO)
        asked = (await w.handling.ask_second(LEAD, one.name, etag=one.etag)).hold
        w.policy.answer = opinion(answer)
        less = await less_of(w, asked)
        assert max(r.terms.approvals_required for r in less.requirements) == 3
        etag = less.etag
        for who in (LEAD, SECOND, reviewer("lead-3", "reviewers")):
            assert not w.runner.ran
            etag = (await w.reviews.approve(who, less.name, etag=etag)).hold.etag
        await quiet(w)
        assert len(w.runner.ran) == 1
        assert (await now(w, less)).state is HoldState.CLAIMED


async def test_what_needs_a_fresh_sign_in_needs_it_for_less_too(tmp_path: Path) -> None:
    """Narrow by a minor unit what policy wants a fresh sign-in for, and approve with a token."""
    async with world(tmp_path) as w:
        one = await held(w, FRESH)
        w.policy.answer = opinion(allow())
        less = await less_of(w, one, changes={"/amount_minor": 5_499})
        assert less.alike == ""
        with pytest.raises(NotPermitted, match="fresh sign-in"):
            await w.reviews.approve(LEAD, less.name, etag=less.etag)
        assert not w.runner.ran


async def test_narrowing_again_and_again_lasts_no_longer(tmp_path: Path) -> None:
    """Narrow a hold by a minor unit whenever it is about to expire, so that it never does."""
    async with world(tmp_path) as w:
        one = last = await held(w)
        for amount in range(5_499, 5_494, -1):
            w.clock.advance(1_000)
            last = await less_of(w, last, changes={"/amount_minor": amount})
            assert last.decide_by == one.decide_by
        w.clock.now = one.decide_by
        with pytest.raises(IllegalTransition, match="over"):
            await less_of(w, last, changes={"/amount_minor": 1})
        await w.recovery.sweep_once()
        ended = await w.store.find_invocation(one.invocation)
        assert ended.state is InvocationState.EXPIRED
        assert ended.asked is not None
        assert ended.asked.arguments == ASKED


async def test_narrowing_makes_no_session_live_longer(tmp_path: Path) -> None:
    """Keep a session from falling idle by narrowing what waits in it."""
    async with world(tmp_path) as w:
        one = await held(w)
        session = await w.store.find_session(one.session)
        w.clock.now = session.idle_expires_at + 1
        less = await less_of(w, one)  # what was asked in time waits for people longer
        assert await w.store.find_session(one.session) == session
        await w.reviews.approve(LEAD, less.name, etag=less.etag)
        await quiet(w)
        assert len(w.runner.ran) == 1


async def test_in_a_session_that_is_over_nothing_is_narrowed(tmp_path: Path) -> None:
    """Narrow what waits in a session that was revoked, or whose time is over, to open it again."""
    async with world(tmp_path) as w:
        one = await held(w)
        session = await w.store.find_session(one.session)
        w.clock.now = min(session.expires_at, one.decide_by)
        before = written(tmp_path)
        with pytest.raises(IllegalTransition):
            await less_of(w, one)
        assert written(tmp_path) == before
