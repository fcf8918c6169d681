"""Narrowing in the moment of something else, or twice, so that more comes of it than one call."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from broker.core.errors import CallerError, IllegalTransition, RequestIdReused, StaleEtag
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import DropControl
from tests.attacks.narrowing import (
    ASKED,
    LEAD,
    NARROWABLE,
    SECOND,
    held,
    less_of,
    now,
    quiet,
    written,
)
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.world import CUSTOMER, World, world

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
