"""What a session was the reason for ends with it, whoever moves, crashes or hangs up meanwhile."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from broker.core import limits
from broker.core.calls import Caller, Person, Principal
from broker.core.credentials import CredentialClass
from broker.core.errors import IllegalTransition, LimitExceeded
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.scopes import Scope
from broker.core.unit import EndSession, Unit
from broker.mandates import MandateOrder
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.fakes.faulty_store import FaultyStore
from tests.world import AGENT, CUSTOMER, World, credential, reviewer, world

HOST = credential(CredentialClass.HOST, "hosts/shop")
LEAD = reviewer("lead-1", "reviewers")


async def held(w: World, **terms) -> tuple[Caller, Hold]:
    w.policy.answer = opinion(hold("LARGE", dataclasses.replace(TERMS, **terms)))
    caller = await w.caller()
    invocation = await w.refund(caller)
    return caller, (await w.store.find_hold(invocation.hold))[0]


async def fate(w: World, one: Hold) -> tuple[HoldState, InvocationState]:
    await asyncio.gather(*w.own.tasks)
    invocation = await w.store.find_invocation(one.invocation)
    return (await w.store.find_hold(one.name))[0].state, invocation.state


WITHDRAWN = (HoldState.WITHDRAWN, InvocationState.CANCELLED)


async def test_a_session_that_ends_while_a_call_is_decided_records_nothing(tmp_path: Path):
    """Be decided in a session, and have it recorded after the host has revoked it."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        store = FaultyStore(w.store)
        w.use(store=store)

        async def revoke_first(_unit):
            store.before = None
            await w.mandates.revoke(HOST, caller.session.mandate, "the user left")

        store.before = revoke_first
        with pytest.raises(IllegalTransition, match="REVOKED"):
            await w.refund(caller, request_id="r")
        assert await w.store.find_request(caller.session.name, "r") is None
        assert not w.runner.ran
        assert w.runner.free == 100


@pytest.mark.parametrize("approvals_required", [1, 2])
async def test_a_vote_in_between_does_not_save_a_hold_from_its_sessions_end(
    tmp_path: Path, approvals_required: int
):
    """Have a reviewer move the hold at the very moment when the session's end withdraws it."""
    async with world(tmp_path) as w:
        caller, one = await held(w, approvals_required=approvals_required)
        store = FaultyStore(w.store)
        w.use(store=store)
        w.runner.free = 0

        async def approve_first(unit):
            if any(entry.kind == "hold.changed" for entry in unit.entries):
                store.before = None
                await w.reviews.approve(LEAD, one.name, etag=one.etag)

        store.before = approve_first
        await w.mandates.revoke(HOST, caller.session.mandate, "the user left")
        assert await fate(w, one) == WITHDRAWN


async def test_a_crash_after_the_end_of_a_session_leaves_nothing_that_can_run(tmp_path: Path):
    """Crash the broker between the session's end and the withdrawal of what it held."""
    async with world(tmp_path) as w:
        caller, one = await held(w)
        change = EndSession(name=caller.session.name, state="REVOKED")
        await w.store.commit(Unit(changes=(change,), entries=()))
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        assert await fate(w, one) == WITHDRAWN
        assert not w.runner.ran


async def test_a_session_revoked_again_takes_what_a_crash_left_of_it(tmp_path: Path):
    async with world(tmp_path) as w:
        caller, one = await held(w)
        change = EndSession(name=caller.session.name, state="CLOSED")
        await w.store.commit(Unit(changes=(change,), entries=()))
        await w.mandates.revoke(HOST, caller.session.mandate, "the user left")
        assert await fate(w, one) == WITHDRAWN


async def test_a_session_that_ends_while_its_approved_call_is_decided_runs_nothing(
    tmp_path: Path,
):
    """Have an approval claimed between the last look at the session and its end."""
    async with world(tmp_path) as w:
        caller, one = await held(w)
        evaluate = w.policy.evaluate

        async def end_first(question, *, deadline_s):
            change = EndSession(name=caller.session.name, state="REVOKED")
            await w.store.commit(Unit(changes=(change,), entries=()))
            return await evaluate(question, deadline_s=deadline_s)

        w.policy.evaluate = end_first
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        assert await fate(w, one) == WITHDRAWN
        assert not w.runner.ran


@pytest.mark.parametrize("by", ["agent", "host"])
async def test_hanging_up_while_a_session_ends_leaves_nothing_held(tmp_path: Path, by: str):
    """Close the session and hang up before what it holds is withdrawn."""
    async with world(tmp_path) as w:
        _, secret = await w.mandates.create(HOST, order())
        session, session_secret = await w.sessions.open(w.agent, secret)
        caller = await w.sessions.caller(w.agent, session.name, session_secret)
        w.policy.answer = opinion(hold("LARGE"))
        one = (await w.store.find_hold((await w.refund(caller)).hold))[0]
        store = FaultyStore(w.store)
        w.use(store=store)
        ending = asyncio.ensure_future(
            w.sessions.close(w.agent, session.name, session_secret)
            if by == "agent"
            else w.mandates.revoke(HOST, session.mandate, "the user left")
        )

        async def hang_up(_unit):
            ending.cancel()

        store.before = hang_up
        await asyncio.gather(ending, return_exceptions=True)
        assert ending.cancelled()
        assert await fate(w, one) == WITHDRAWN


async def test_nothing_waits_or_runs_beyond_the_sessions_absolute_end(tmp_path: Path):
    """Order a session of a minute, and have its call approved when the minute is long over."""
    async with world(tmp_path) as w:
        _, secret = await w.mandates.create(HOST, order(life_s=60.0))
        session, session_secret = await w.sessions.open(w.agent, secret)
        caller = await w.sessions.caller(w.agent, session.name, session_secret)
        w.policy.answer = opinion(hold("LARGE"))
        one = (await w.store.find_hold((await w.refund(caller)).hold))[0]
        assert one.decide_by == session.expires_at
        w.runner.free = 0
        w.clock.advance(30)
        view = await w.reviews.approve(LEAD, one.name, etag=one.etag)
        assert view.hold.run_by == session.expires_at
        w.clock.advance(30)
        w.runner.free = 100
        await w.resuming.take_up(one.name)
        await w.recovery.sweep_once()
        assert await fate(w, one) == (HoldState.EXPIRED, InvocationState.EXPIRED)


async def test_a_call_waits_for_people_longer_than_its_session_may_be_idle(tmp_path: Path):
    async with world(tmp_path) as w:
        patient = TERMS.__class__(reviewers=("reviewers",), decide_within_s=7_200, run_within_s=60)
        w.policy.answer = opinion(hold("LARGE", patient))
        one = (await w.store.find_hold((await w.refund(await w.caller())).hold))[0]
        w.clock.advance(limits.SESSION_IDLE_S + 1)
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        assert await fate(w, one) == (HoldState.CLAIMED, InvocationState.SUCCEEDED)


async def test_words_that_are_added_at_once_are_bounded_together(tmp_path: Path):
    """Add half of what is allowed many times at the same moment, each of which fits by itself."""
    async with world(tmp_path) as w:
        mandate, _ = await w.mandates.create(HOST, order())
        half = "x" * (limits.WORDS_BYTES_MAX // 2)
        results = await asyncio.gather(
            *(w.mandates.add_words(HOST, mandate.name, [half]) for _ in range(4)),
            return_exceptions=True,
        )
        assert [r for r in results if not isinstance(r, Exception)] == [2]
        assert {type(r) for r in results if isinstance(r, Exception)} == {LimitExceeded}


async def test_words_of_nothing_are_bounded_too(tmp_path: Path):
    """Fill the database, and every policy input, with empty turns."""
    async with world(tmp_path) as w:
        mandate, _ = await w.mandates.create(HOST, order())
        with pytest.raises(LimitExceeded):
            await w.mandates.add_words(HOST, mandate.name, [""] * limits.WORDS_BYTES_MAX)


def order(**given) -> MandateOrder:
    fields = {
        "principal": Principal(
            id=CUSTOMER,
            person=Person(issuer="local", subject=CUSTOMER),
            groups=("customers",),
        ),
        "agent": AGENT,
        "words": ("Hello.",),
        "scopes": (Scope(name="refunds:write"),),
    }
    return MandateOrder(**{**fields, **given})
