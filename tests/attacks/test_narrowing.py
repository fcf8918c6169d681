"""Approving less is used to run more, something else, longer, or without those who decide."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from broker.core.decision import HoldTerms
from broker.core.errors import (
    CallerError,
    IllegalTransition,
    MalformedRequest,
    NotPermitted,
    PolicyUnavailable,
    RequestIdReused,
    StaleEtag,
)
from broker.core.freezes import FreezeKind
from broker.core.holds import TAKEN_S, Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import DropControl
from tests.fakes.decision_point import TERMS, allow, deny, hold, opinion
from tests.world import CUSTOMER, REFUND, World, reviewer, world

LEAD = reviewer("lead-1", "reviewers")
SECOND = reviewer("lead-2", "reviewers")
TWO = HoldTerms(
    reviewers=("reviewers",), approvals_required=2, decide_within_s=14_400, run_within_s=3_600
)
FRESH = HoldTerms(
    reviewers=("reviewers",), decide_within_s=14_400, run_within_s=3_600, step_up=True
)
PROPERTIES: Any = REFUND["arguments"]["properties"]
NARROWABLE: dict[str, Any] = {
    **REFUND,
    "targets": ["/order_id"],
    "arguments": {
        **REFUND["arguments"],
        "properties": {
            **PROPERTIES,
            "tell": {"type": "array", "items": {"type": ["string", "integer", "boolean"]}},
            "deep": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"count": {"type": "integer"}, "name": {"type": "string"}},
            },
        },
    },
    "limits": {
        "refunds": {"per": "principal", "window_s": 86_400, "calls": 50},
        "refunded": {
            "per": "principal",
            "window_s": 86_400,
            "sum": "/amount_minor",
            "currency": "/currency",
            "maximum": 6_000,
        },
    },
    "review": {
        "money": {"/amount_minor": "/currency"},
        "narrowing": {"/amount_minor": "smaller", "/tell": "subset", "/deep/count": "smaller"},
    },
}
ASKED = {
    "order_id": "O-1001",
    "amount_minor": 5_500,
    "currency": "EUR",
    "tell": ["ann", "bob", 1],
    "deep": {"count": 3, "name": "x"},
}
LESS = {"/amount_minor": 4_000}


async def held(w: World, terms: HoldTerms = TERMS, request_id: str = "asked") -> Hold:
    await w.put_tool(NARROWABLE)
    w.policy.answer = opinion(hold("LARGE", terms))
    invocation = await w.enforcer.invoke(
        await w.caller(),
        request_id=request_id,
        tool="refund",
        arguments_json=json.dumps(ASKED).encode(),
    )
    return (await w.store.find_hold(invocation.hold))[0]


async def now(w: World, one: Hold) -> Hold:
    return (await w.store.find_hold(one.name))[0]


async def less_of(w: World, one: Hold, **changes: Any) -> Hold:
    given = {"reviewer": LEAD, "etag": one.etag, "changes": LESS, **changes}
    return (await w.handling.narrow(given.pop("reviewer"), one.name, **given)).hold


async def quiet(w: World) -> None:
    """Return once nothing is under way."""
    while w.own.tasks:
        await asyncio.gather(*w.own.tasks, return_exceptions=True)


def written(path: Path) -> list[str]:
    """All rows of all tables."""
    with sqlite3.connect(path / "broker.db") as database:
        lines = list(database.iterdump())
    database.close()
    return lines


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


Change = Callable[[World], Awaitable[None]]


async def freeze(w: World) -> None:
    await w.freeze(FreezeKind.PRINCIPAL, CUSTOMER, is_heard=False)


async def revoke(w: World) -> None:
    grants = [g.name for g in w.room.current().grants if g.subject == "groups/customers"]
    await w.put(*(DropControl(kind="grant", key=name) for name in grants))


async def replace_tool(w: World) -> None:
    await w.put_tool({**NARROWABLE, "description": "Another one."})


async def drop_tool(w: World) -> None:
    await w.put(DropControl(kind="tool", key="refund"))


async def forbid(w: World) -> None:
    w.policy.answer = opinion(deny("FORBIDDEN"))
    await w.grant("groups/others", "others:read")  # what is in force has moved on


@pytest.mark.parametrize("change", [freeze, revoke, drop_tool, forbid, replace_tool])
async def test_what_is_in_force_when_it_is_recorded_decides(tmp_path: Path, change: Change) -> None:
    """Narrow in the moment in which the principal is frozen, the right or tool taken away."""
    async with world(tmp_path) as w:
        one = await held(w)
        evaluate, changed = w.policy.evaluate, []

        async def change_first(question: Any, *, deadline_s: float) -> Any:
            answer = await evaluate(question, deadline_s=deadline_s)
            if not changed:
                changed.append(change)
                await change(w)
            return answer

        w.policy.evaluate = change_first
        with pytest.raises(IllegalTransition):
            await less_of(w, one)
        assert await now(w, one) == one
        waiting = await w.store.find_invocation(one.invocation)
        assert (waiting.state, waiting.asked) == (InvocationState.HELD, None)


@pytest.mark.parametrize(
    "other",
    [
        lambda w, one: w.handling.narrow(
            SECOND, one.name, etag=one.etag, changes={"/amount_minor": 3_000}
        ),
        lambda w, one: w.reviews.approve(SECOND, one.name, etag=one.etag),
        lambda w, one: w.reviews.reject(SECOND, one.name, etag=one.etag, reason="No."),
        lambda w, one: w.handling.take(SECOND, one.name),
        lambda w, one: w.handling.ask_second(SECOND, one.name, etag=one.etag),
        lambda w, one: w.invocations.cancel(w.agent, one.invocation),
    ],
    ids=["narrow", "approve", "reject", "take", "second", "cancel"],
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_of_two_acts_at_once_the_hold_has_one(
    tmp_path: Path,
    other: Any,
    is_first: bool,  # noqa: FBT001
) -> None:
    """Narrow in the moment of another act, so that both are done: to different calls."""
    async with world(tmp_path) as w:
        one = await held(w)
        acts = [less_of(w, one), other(w, one)]
        results = await asyncio.gather(
            *(acts if is_first else reversed(acts)), return_exceptions=True
        )
        await quiet(w)
        failed = [r for r in results if isinstance(r, BaseException)]
        assert all(isinstance(r, CallerError) for r in failed), failed
        ended = await w.store.find_invocation(one.invocation)
        opened = await w.store.open_holds_of(one.session)
        if ended.state is InvocationState.HELD:
            # One hold waits for this call, and it is for the call as it is.
            assert [(h.name, h.call_digest) for h in opened] == [(ended.hold, ended.call.digest)]
        else:
            assert not opened
        ran = [c.invocation.call.arguments["amount_minor"] for c in w.runner.ran]
        assert ran in ([], [5_500])
        assert bool(ran) == (ended.state is InvocationState.SUCCEEDED)
        assert (
            ended.call.arguments["amount_minor"]
            == (ran or [ended.call.arguments["amount_minor"]])[0]
        )


async def test_narrowed_after_it_expired_it_stays_expired(tmp_path: Path) -> None:
    """Narrow while the clock passes the time to decide."""
    async with world(tmp_path) as w:
        one = await held(w)
        evaluate = w.policy.evaluate

        async def late(question: Any, *, deadline_s: float) -> Any:
            w.clock.now = one.decide_by
            return await evaluate(question, deadline_s=deadline_s)

        w.policy.evaluate = late
        before = written(tmp_path)
        with pytest.raises(StaleEtag):
            await less_of(w, one)
        assert written(tmp_path) == before


async def test_the_agent_gets_no_second_call_out_of_a_narrowed_one(tmp_path: Path) -> None:
    """Ask again with the same request id, to have both the narrowed call and the whole one."""
    async with world(tmp_path) as w:
        await w.put_tool(NARROWABLE)
        caller = await w.caller()
        w.policy.answer = opinion(hold("LARGE"))

        async def ask(arguments: dict[str, Any]) -> Any:
            return await w.enforcer.invoke(
                caller,
                request_id="one",
                tool="refund",
                arguments_json=json.dumps(arguments).encode(),
            )

        first = await ask(ASKED)
        less = await less_of(w, (await w.store.find_hold(first.hold))[0])
        again = await ask(ASKED)
        assert (again.name, again.hold, again.etag) == (first.name, less.name, first.etag + 1)
        with pytest.raises(RequestIdReused):
            await ask({**ASKED, "amount_minor": 4_000})
        await w.reviews.approve(LEAD, less.name, etag=less.etag)
        await quiet(w)
        assert (await ask(ASKED)).state is InvocationState.SUCCEEDED
        with pytest.raises(RequestIdReused):
            await ask({**ASKED, "amount_minor": 4_000})
        assert len(w.runner.ran) == 1


async def test_limits_count_what_ran_and_nothing_before(tmp_path: Path) -> None:
    """Use a limit up by what was asked, or get past it by what was narrowed."""
    async with world(tmp_path) as w:
        one = await held(w)
        less = await less_of(w, one)
        await w.reviews.approve(LEAD, less.name, etag=less.etag)
        await quiet(w)
        w.policy.answer = opinion(allow())
        caller = await w.caller()
        fits = await w.refund(caller, 2_000, order_id="O-1002")
        over = await w.refund(caller, 1, order_id="O-1002")
        assert fits.state is InvocationState.SUCCEEDED
        assert over.state is InvocationState.DENIED


async def test_a_narrowed_call_is_exclusive_like_any_other(tmp_path: Path) -> None:
    """Run a narrowed call beside another one on the same order."""
    async with world(tmp_path) as w:
        w.use(exclusive_wait_s=0.05)
        one = await held(w)
        less = await less_of(w, one)
        w.policy.answer = opinion(allow())
        w.runner.going.clear()
        running = asyncio.create_task(w.refund(await w.caller(), 1))
        while not await w.store.unfinished() or not any(
            i.state is InvocationState.RUNNING for i in await w.store.unfinished()
        ):
            await asyncio.sleep(0.01)
        w.policy.answer = opinion(hold("LARGE"))
        await w.reviews.approve(LEAD, less.name, etag=less.etag)
        assert (await now(w, less)).state is HoldState.APPROVED
        assert not w.runner.ran
        w.runner.going.set()
        await running
        await quiet(w)


async def test_the_log_names_who_made_it_less_and_both_digests(tmp_path: Path) -> None:
    """Make a call less, and have it look as if the agent had asked for that."""
    async with world(tmp_path) as w:
        one = await held(w)
        less = await less_of(w, one, reason="Half is enough.")
        entries = await w.store.entries(one.invocation)
        (said,) = [dict(e) for e in entries if dict(e)["kind"] == "review.given"]
        body = said["body"]
        assert said["actor"] == LEAD.name
        assert (body["effect"], body["person"]) == ("NARROW", str(LEAD.person))
        assert (body["call_digest"], body["narrowed_digest"]) == (
            one.call_digest,
            less.call_digest,
        )
