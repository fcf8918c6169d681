"""Holds are taken, given back, passed on, taken back and decided together by who should not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker.core.alike import ALIKE_MAX
from broker.core.decision import HoldTerms
from broker.core.errors import (
    CallerError,
    IllegalTransition,
    MalformedRequest,
    NotFound,
    NotPermitted,
    StaleEtag,
)
from broker.core.holds import TAKEN_S, Hold, Review
from broker.core.lifecycle import HoldState, InvocationState
from broker.ports import Succeeded
from broker.reviews import Shown
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.world import CUSTOMER, REFUND, World, reviewer, world

LEAD = reviewer("lead-1", "reviewers")
SECOND = reviewer("lead-2", "reviewers")
THIRD = reviewer("lead-3", "reviewers")
ALIAS = reviewer("another-name", "reviewers", person="lead-1")
STRANGER = reviewer("somebody", "others")
TWO = HoldTerms(
    reviewers=("reviewers",), approvals_required=2, decide_within_s=14_400, run_within_s=3_600
)


async def held(w: World, terms: HoldTerms = TERMS, **changes: Any) -> Hold:
    w.policy.answer = opinion(hold("LARGE", terms))
    invocation = await w.refund(await w.caller(), **changes)
    return (await w.store.find_hold(invocation.hold))[0]


async def alike(w: World, many: int, terms: HoldTerms = TERMS) -> list[Hold]:
    """Holds for amounts from 1 on, of the same order."""
    await w.put_tool({**REFUND, "targets": ["/order_id"]})
    return [await held(w, terms, amount_minor=1 + n) for n in range(many)]


async def now(w: World, one: Hold) -> Hold:
    return (await w.store.find_hold(one.name))[0]


async def reviews_of(w: World, one: Hold) -> tuple[Review, ...]:
    return (await w.store.find_hold(one.name))[1]


async def quiet(w: World) -> None:
    """Return once nothing is under way."""
    while w.own.tasks:
        await asyncio.gather(*w.own.tasks, return_exceptions=True)


def shown(*holds: Hold) -> list[Shown]:
    return [Shown(name=h.name, etag=h.etag, call_digest=h.call_digest) for h in holds]


async def test_whoever_takes_a_hold_again_and_again_keeps_nobody_from_a_veto(tmp_path: Path):
    """Take a hold every few minutes, so that nobody else can ever decide on it."""
    async with world(tmp_path) as w:
        one = await held(w)
        for _ in range(5):
            await w.handling.take(LEAD, one.name)
            w.clock.advance(TAKEN_S - 1)
        with pytest.raises(IllegalTransition, match="lead-1 has taken"):
            await w.reviews.approve(SECOND, one.name, etag=(await now(w, one)).etag)
        await w.reviews.reject(SECOND, one.name, etag=(await now(w, one)).etag, reason="No.")
        assert (await now(w, one)).state is HoldState.REJECTED
        with pytest.raises(IllegalTransition):
            await w.handling.take(LEAD, one.name)
        w.clock.advance(TAKEN_S)
        await w.recovery.sweep_once()
        assert not w.runner.ran


async def test_what_was_taken_is_anybodys_once_that_lapses(tmp_path: Path):
    """Take a hold and go home."""
    async with world(tmp_path) as w:
        one = await held(w)
        await w.handling.take(LEAD, one.name)
        w.clock.advance(TAKEN_S - 0.001)
        with pytest.raises(IllegalTransition):
            await w.handling.take(SECOND, one.name)
        w.clock.advance(0.001)
        taken = await w.handling.take(SECOND, one.name)
        assert taken.hold.taken_by == SECOND
        with pytest.raises(IllegalTransition, match="lead-2 has taken"):
            await w.reviews.approve(LEAD, one.name, etag=taken.hold.etag)


async def test_taking_makes_no_hold_last_longer(tmp_path: Path):
    """Take a hold just before its time to decide is over, to have five minutes more."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.clock.advance(TERMS.decide_within_s - 10)
        taken = (await w.handling.take(LEAD, one.name)).hold
        assert (taken.decide_by, taken.taken_until) == (one.decide_by, one.decide_by)
        w.clock.advance(10)
        with pytest.raises(IllegalTransition, match="over"):
            await w.handling.take(LEAD, one.name)
        await w.recovery.sweep_once()
        assert (await now(w, one)).state is HoldState.EXPIRED


@pytest.mark.parametrize(
    "who",
    [
        STRANGER,
        reviewer("me", "reviewers", person=CUSTOMER),
        reviewer("my-owner", "reviewers", person="agent-owner"),
    ],
)
async def test_who_may_not_decide_keeps_nobody_who_may_from_it(tmp_path: Path, who: Any):
    """Take, pass on or give back a hold as its principal, its agent's owner, or a stranger."""
    async with world(tmp_path) as w:
        one = await held(w)
        with pytest.raises(NotPermitted):
            await w.handling.take(who, one.name)
        with pytest.raises(NotPermitted):
            await w.handling.ask_second(who, one.name, etag=one.etag)
        await w.handling.give_back(who, one.name)
        assert await now(w, one) == one
        taken = (await w.handling.take(LEAD, one.name)).hold
        await w.handling.give_back(who, one.name)
        assert await now(w, one) == taken


async def test_whoever_has_said_yes_keeps_nobody_else_from_saying_so(tmp_path: Path):
    """Give the first of two approvals, then take the hold so that the second never comes."""
    async with world(tmp_path) as w:
        one = await held(w, TWO)
        first = (await w.reviews.approve(LEAD, one.name, etag=one.etag)).hold
        for who in (LEAD, ALIAS):
            with pytest.raises(IllegalTransition, match="one Person counts once"):
                await w.handling.take(who, one.name)
        assert await now(w, one) == first
        await w.reviews.approve(SECOND, one.name, etag=first.etag)
        await quiet(w)
        assert len(w.runner.ran) == 1


async def test_a_clock_that_is_set_back_locks_nothing(tmp_path: Path):
    """Take a hold while the clock is an hour fast."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.clock.advance(3_600)
        taken = (await w.handling.take(LEAD, one.name)).hold
        w.clock.advance(-3_600)
        await w.reviews.approve(SECOND, one.name, etag=taken.etag)
        await quiet(w)
        assert len(w.runner.ran) == 1


async def test_a_clock_that_is_set_back_runs_nothing_before_its_time(tmp_path: Path):
    """Approve while the clock is fast, so that nothing is left of the time to take it back."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.clock.advance(60)
        approved = (await w.reviews.approve(LEAD, one.name, etag=one.etag, take_back_s=10)).hold
        w.clock.advance(-60)
        await w.recovery.sweep_once()
        await quiet(w)
        assert not w.runner.ran
        again = await w.reviews.take_back(LEAD, one.name, etag=approved.etag)
        assert again.hold.state is HoldState.PENDING


async def test_giving_back_what_was_decided_meanwhile_is_no_error(tmp_path: Path):
    """Have the page of whoever took it say that something is wrong, so that they look there."""
    async with world(tmp_path) as w:
        one = await held(w)
        taken = (await w.handling.take(LEAD, one.name)).hold
        await w.reviews.reject(SECOND, one.name, etag=taken.etag, reason="No.")
        rejected = await now(w, one)
        assert (await w.handling.give_back(LEAD, one.name)).hold == rejected
        with pytest.raises(NotFound):
            await w.handling.give_back(LEAD, "holds/none")


async def test_of_two_who_take_it_at_once_one_has_it(tmp_path: Path):
    """Take at the same moment, so that both believe that it is theirs."""
    async with world(tmp_path) as w:
        one = await held(w)
        results = await asyncio.gather(
            w.handling.take(LEAD, one.name),
            w.handling.take(SECOND, one.name),
            return_exceptions=True,
        )
        lost = [r for r in results if isinstance(r, BaseException)]
        assert len(lost) == 1
        assert isinstance(lost[0], StaleEtag | IllegalTransition)


async def test_a_second_reviewer_is_another_person_than_the_one_who_asked(tmp_path: Path):
    """Ask for a second reviewer, and be both under two names."""
    async with world(tmp_path) as w:
        one = await held(w)
        asked = (await w.handling.ask_second(LEAD, one.name, etag=one.etag)).hold
        first = (await w.reviews.approve(LEAD, one.name, etag=asked.etag)).hold
        assert first.state is HoldState.PENDING
        with pytest.raises(IllegalTransition, match="one Person counts once"):
            await w.reviews.approve(ALIAS, one.name, etag=first.etag)
        with pytest.raises(NotPermitted):
            await w.reviews.approve(STRANGER, one.name, etag=first.etag)
        assert not w.runner.ran
        await w.reviews.approve(SECOND, one.name, etag=first.etag)
        await quiet(w)
        assert len(w.runner.ran) == 1


async def test_a_second_reviewer_is_asked_for_once_and_for_what_was_shown(tmp_path: Path):
    """Ask for one more again and again, until there are not enough people in the company."""
    async with world(tmp_path) as w:
        one = await held(w, TWO)
        asked = (await w.handling.ask_second(LEAD, one.name, etag=one.etag)).hold
        assert [r.terms.approvals_required for r in asked.requirements] == [2, 3]
        with pytest.raises(StaleEtag):
            await w.handling.ask_second(SECOND, one.name, etag=one.etag)
        with pytest.raises(IllegalTransition, match="already"):
            await w.handling.ask_second(SECOND, one.name, etag=asked.etag)
        etag = asked.etag
        for number, who in enumerate((LEAD, SECOND, THIRD), start=1):
            assert not w.runner.ran, number
            etag = (await w.reviews.approve(who, one.name, etag=etag)).hold.etag
        await quiet(w)
        assert len(w.runner.ran) == 1


async def test_a_quorum_that_one_took_back_from_is_none(tmp_path: Path):
    """Take the first approval back while the second is being given."""
    async with world(tmp_path) as w:
        one = await held(w, TWO)
        first = (await w.reviews.approve(LEAD, one.name, etag=one.etag)).hold
        results = await asyncio.gather(
            w.reviews.take_back(LEAD, one.name, etag=first.etag),
            w.reviews.approve(SECOND, one.name, etag=first.etag),
            return_exceptions=True,
        )
        assert sum(isinstance(r, BaseException) for r in results) == 1
        await quiet(w)
        counted = {r.reviewer.person for r in await reviews_of(w, one) if r.counted}
        assert len(w.runner.ran) == (1 if len(counted) == TWO.approvals_required else 0)


async def test_nobody_takes_back_what_somebody_else_approved(tmp_path: Path):
    """Undo a colleague's approval, under any name, so that the call never runs."""
    async with world(tmp_path) as w:
        one = await held(w)
        approved = (await w.reviews.approve(LEAD, one.name, etag=one.etag, take_back_s=10)).hold
        for who in (SECOND, STRANGER, reviewer("me", "reviewers", person=CUSTOMER)):
            with pytest.raises(IllegalTransition, match="not approved"):
                await w.reviews.take_back(who, one.name, etag=approved.etag)
        with pytest.raises(StaleEtag):
            await w.reviews.take_back(LEAD, one.name, etag=one.etag)
        assert await now(w, one) == approved
        w.clock.advance(10)
        await w.recovery.sweep_once()
        await quiet(w)
        assert len(w.runner.ran) == 1


async def test_what_runs_already_is_not_taken_back(tmp_path: Path):
    """Take an approval back once its effect is under way, and claim that nobody said yes."""
    async with world(tmp_path) as w:
        one = await held(w)
        claimed = (await w.reviews.approve(LEAD, one.name, etag=one.etag)).hold
        with pytest.raises(IllegalTransition, match="CLAIMED"):
            await w.reviews.take_back(LEAD, one.name, etag=claimed.etag)
        assert [r.counted for r in await reviews_of(w, one)] == [True]


async def test_taking_back_and_claiming_at_once_is_one_of_both(tmp_path: Path):
    """Take the approval back in the very moment in which the call is taken up."""
    async with world(tmp_path) as w:
        for number in range(6):
            one = await held(w, request_id=f"race-{number}", amount_minor=1 + number)
            ran = len(w.runner.ran)
            approved = (await w.reviews.approve(LEAD, one.name, etag=one.etag, take_back_s=10)).hold
            w.clock.advance(10)
            taking_up = w.resuming.take_up(one.name)
            taking_back = w.reviews.take_back(LEAD, one.name, etag=approved.etag)
            both = (taking_up, taking_back) if number % 2 else (taking_back, taking_up)
            results = await asyncio.gather(*both, return_exceptions=True)
            await quiet(w)
            after = await now(w, one)
            has_run = len(w.runner.ran) - ran
            assert (after.state, has_run) in {(HoldState.CLAIMED, 1), (HoldState.PENDING, 0)}
            refused = [r for r in results if isinstance(r, CallerError)]
            assert len(refused) == has_run


async def test_taken_back_after_its_time_nothing_lives_longer(tmp_path: Path):
    """Approve in the last moment and take it back later, so that the hold outlives its time."""
    async with world(tmp_path) as w:
        one = await held(w)
        w.clock.advance(TERMS.decide_within_s - 1)
        approved = (await w.reviews.approve(LEAD, one.name, etag=one.etag, take_back_s=10)).hold
        w.clock.advance(5)
        back = (await w.reviews.take_back(LEAD, one.name, etag=approved.etag)).hold
        with pytest.raises(IllegalTransition, match="over"):
            await w.reviews.approve(SECOND, one.name, etag=back.etag)
        await w.recovery.sweep_once()
        ended = await w.store.find_invocation(one.invocation)
        assert ended.state is InvocationState.EXPIRED


async def test_holds_that_are_not_alike_are_not_decided_together(tmp_path: Path):
    """Slip a call of another kind, person or target in among twenty that look the same."""
    async with world(tmp_path) as w:
        first, second = await alike(w, 2)
        assert first.alike == second.alike
        w.policy.answer = opinion(hold("OTHER", TERMS))
        code = (await w.store.find_hold((await w.refund(await w.caller())).hold))[0]
        larger = HoldTerms(
            reviewers=("reviewers",), approvals_required=2, decide_within_s=14_400, run_within_s=60
        )
        terms = await held(w, larger)
        strange = await held(w)
        strange = (await w.handling.ask_second(LEAD, strange.name, etag=strange.etag)).hold
        elsewhere = await held(w, order_id="O-1002")
        for odd in (code, terms, strange, elsewhere):
            with pytest.raises(MalformedRequest, match="not alike"):
                await w.together.approve(LEAD, shown(first, second, odd))
        with pytest.raises(NotFound):
            await w.together.approve(
                LEAD, [*shown(first), Shown(name="holds/none", etag=1, call_digest="")]
            )
        await quiet(w)
        assert not w.runner.ran


async def test_no_more_than_twenty_and_none_twice_are_decided_together(tmp_path: Path):
    """Hide one among so many that nobody reads them, or count one twice."""
    async with world(tmp_path) as w:
        holds = await alike(w, ALIKE_MAX + 1)
        assert len({one.alike for one in holds}) == 1
        for many in (holds, [*holds[:2], holds[0]], holds[:1], []):
            with pytest.raises(MalformedRequest, match="Together"):
                await w.together.approve(LEAD, shown(*many))
        await quiet(w)
        assert not w.runner.ran


async def test_one_that_changed_since_it_was_shown_is_left(tmp_path: Path):
    """Change one of them after it was shown: taken, decided, or another call under its name."""
    async with world(tmp_path) as w:
        holds = await alike(w, 5)
        # What runs first leaves what the others were decided on as it was.
        w.runner.effect = lambda _: Succeeded(result_json=b'{"refund_id":"r-1"}')
        forged = Shown(name=holds[0].name, etag=holds[0].etag, call_digest=holds[1].call_digest)
        await w.handling.take(SECOND, holds[1].name)
        await w.reviews.reject(SECOND, holds[2].name, etag=holds[2].etag, reason="No.")
        left = await w.together.approve(LEAD, [forged, *shown(*holds[1:])])
        await quiet(w)
        assert [one.name for one in left] == [holds[0].name, holds[1].name, holds[2].name]
        amounts = [call.invocation.call.arguments["amount_minor"] for call in w.runner.ran]
        assert sorted(amounts) == [4, 5]


async def test_what_policy_marks_high_is_never_decided_together(tmp_path: Path):
    """Have what needs a fresh sign-in for itself approved along with others."""
    async with world(tmp_path) as w:
        high = HoldTerms(
            reviewers=("reviewers",), decide_within_s=600, run_within_s=60, step_up=True
        )
        holds = await alike(w, 2, high)
        assert [one.alike for one in holds] == ["", ""]
        with pytest.raises(MalformedRequest, match="not alike"):
            await w.together.approve(LEAD, shown(*holds))
        assert not w.runner.ran


async def test_together_is_no_way_around_who_may_decide(tmp_path: Path):
    """Approve many at once as somebody who may approve none of them."""
    async with world(tmp_path) as w:
        holds = await alike(w, 2)
        for who in (STRANGER, reviewer("me", "reviewers", person=CUSTOMER)):
            left = await w.together.approve(who, shown(*holds))
            assert [one.name for one in left] == [one.name for one in holds]
        await quiet(w)
        assert not w.runner.ran
