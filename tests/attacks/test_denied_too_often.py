"""Attacks by asking: what may not be had is to be found out, or worn down, by many denied calls."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from broker.core.errors import MalformedRequest
from broker.core.fairness import FAIR
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.limits import DENIALS_MAX, DENIALS_WINDOW_S
from broker.core.standing import TOO_MANY_DENIALS, DenialBounds
from broker.fairness.coalescing import ENTRIES_PER_WINDOW
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.world import World, build, reviewer, world

LEA = reviewer("lea", "reviewers", "leads")
FEW = DenialBounds(denials_max=3, window_s=60.0)


async def few(w: World) -> World:
    w.use(fairness=dataclasses.replace(FAIR, denials=FEW))
    return w


async def deny_often(w: World, caller, times: int = FEW.denials_max) -> None:
    before, w.policy.answer = w.policy.answer, opinion(deny())
    for _ in range(times):
        assert (await w.refund(caller)).state is InvocationState.DENIED
    w.policy.answer = before


async def test_after_too_many_denials_what_rules_allow_waits(tmp_path: Path):
    """Try every order until one is let through."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        await deny_often(w, caller, FEW.denials_max - 1)
        assert (await w.refund(caller)).state is InvocationState.SUCCEEDED
        await deny_often(w, caller, 1)
        held = await w.refund(caller)
        assert (held.state, held.code) == (InvocationState.HELD, TOO_MANY_DENIALS)


async def test_the_bound_that_is_shipped_holds(tmp_path: Path):
    """Count on a bound that nobody has set."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        await deny_often(w, caller, DENIALS_MAX)
        w.clock.advance(DENIALS_WINDOW_S - 1)
        assert (await w.refund(caller)).code == TOO_MANY_DENIALS


async def test_who_may_decide_is_the_operators_word(tmp_path: Path):
    """Have my own agent's owner, or anybody, say yes."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        await deny_often(w, caller)
        held = await w.refund(caller)
        found, _ = await w.store.find_hold(held.hold)
        (requirement,) = found.requirements
        assert requirement.terms == w.parts.terms
        await w.reviews.approve(LEA, held.hold, etag=found.etag)
        ended = await w.invocations.wait(held, wait_s=5.0)
        assert ended.state is InvocationState.SUCCEEDED


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("no_such_tool", b"{}"), ("refund", b"{}"), ("refund", b'{"order_id":"O-2002"}')],
)
async def test_guessing_counts_like_any_denial(tmp_path: Path, tool: str, arguments: bytes):
    """Guess names of tools, arguments, and other customers' orders: none of them is policy's."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        for number in range(FEW.denials_max):
            denied = await w.enforcer.invoke(
                caller, request_id=f"g{number}", tool=tool, arguments_json=arguments
            )
            assert denied.state is InvocationState.DENIED
        assert (await w.refund(caller)).code == TOO_MANY_DENIALS


async def test_another_broker_counts_the_same(tmp_path: Path):
    """Spread the guesses over brokers that share a database, and over a restart."""
    async with world(tmp_path) as w:
        await few(w)
        other = await few(await build(w.store, w.clock, owner="brokers/2"))
        other.requests = 100
        caller = await w.caller()
        await deny_often(w, caller, 2)
        await deny_often(other, caller, 1)
        anew = await few(await build(w.store, w.clock, owner="brokers/3"))
        anew.requests = 200
        for broker in (w, other, anew):
            assert (await broker.refund(caller)).code == TOO_MANY_DENIALS
        for broker in (other, anew):
            await broker.own.drain(within_s=5.0)


async def test_a_denial_while_a_call_is_decided_counts(tmp_path: Path):
    """Have the good one looked at before the last denial, and recorded after it."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        await deny_often(w, caller, FEW.denials_max - 1)
        w.policy.answering.clear()
        asked = len(w.policy.asked)
        good = asyncio.create_task(w.refund(caller))
        while len(w.policy.asked) == asked:
            await asyncio.sleep(0)
        denied = await w.enforcer.invoke(
            caller, request_id="x", tool="no_such_tool", arguments_json=b"{}"
        )
        assert denied.state is InvocationState.DENIED
        w.policy.answering.set()
        assert (await good).code == TOO_MANY_DENIALS


async def test_many_at_once_are_counted_one_by_one(tmp_path: Path):
    """Send all guesses at once with good calls between them, before any is counted."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        w.policy.answer = lambda question: opinion(
            deny() if question["call"]["arguments"]["amount_minor"] > 1 else allow()
        )
        w.shop.orders |= {f"O-3{n:03}": dict(w.shop.orders["O-1002"]) for n in range(24)}
        done = await asyncio.gather(
            *(w.refund(caller, 1 + n % 2, order_id=f"O-3{n:03}") for n in range(24))
        )
        good = [one for one in done if one.state is not InvocationState.DENIED]
        assert len(good) == 12
        waiting = {one.code for one in good if one.state is InvocationState.HELD}
        assert waiting <= {TOO_MANY_DENIALS}
        assert (await w.refund(caller, 1, order_id="O-1002")).code == TOO_MANY_DENIALS


async def test_a_denial_stays_one(tmp_path: Path):
    """Nothing is attacked: a person who is tired cannot allow what rules deny."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        await deny_often(w, caller, FEW.denials_max + 2)


async def test_when_the_window_is_over_calls_run_again(tmp_path: Path):
    """Nothing is attacked: an honest agent that was confused is not stopped for ever."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        await deny_often(w, caller)
        w.clock.advance(FEW.window_s + 1)
        assert (await w.refund(caller)).state is InvocationState.SUCCEEDED


async def test_a_clock_that_goes_back_forgets_no_denial(tmp_path: Path):
    """Set the broker's clock back, so that the denials lie in times to come."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        await deny_often(w, caller)
        w.clock.advance(-3_600)
        assert (await w.refund(caller)).code == TOO_MANY_DENIALS


async def test_sessions_are_counted_apart(tmp_path: Path):
    """Have an agent's denials in one session stop the same customer's other sessions."""
    async with world(tmp_path) as w:
        await few(w)
        await deny_often(w, await w.caller(), FEW.denials_max + 1)
        assert (await w.refund(await w.caller())).state is InvocationState.SUCCEEDED


async def test_what_people_had_approved_runs_whatever_was_denied_since(tmp_path: Path):
    """Have a call that a Person approved wait again, by asking for nonsense meanwhile."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        w.policy.answer = opinion(hold())
        held = await w.refund(caller)
        await deny_often(w, caller)
        found, _ = await w.store.find_hold(held.hold)
        await w.reviews.approve(LEA, held.hold, etag=found.etag)
        ended = await w.invocations.wait(held, wait_s=5.0)
        assert ended.state is InvocationState.SUCCEEDED
        assert (await w.store.find_hold(held.hold))[0].state is HoldState.CLAIMED


async def told(w: World, kind: str) -> list[dict[str, Any]]:
    """What entries of a kind say."""
    parts = [part async for part in w.store.export(since=0.0, include_contents=False)]
    lines = [json.loads(line) for line in b"".join(parts).splitlines()]
    return [e["body"] for line in lines if (e := line.get("entry", line)).get("kind") == kind]


async def test_the_same_call_over_and_over_keeps_few_rows_and_one_count(tmp_path: Path):
    """Fill the disk with one denied call, sent again as fast as it is answered."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        w.policy.answer = opinion(deny())
        answered = [await w.refund(caller) for _ in range(20)]
        assert {one.state for one in answered} == {InvocationState.DENIED}
        assert len({one.name for one in answered}) == FEW.denials_max
        assert len({one.request_id for one in answered}) == 20
        await w.enforcer.repeats.flush(everything=True)
        (counted,) = await told(w, "calls.repeated")
        assert counted["count"] == 20 - FEW.denials_max
        assert counted["codes"] == ["FORBIDDEN"]
        assert counted["like"] == answered[-1].name


async def test_a_repeated_call_is_decided_anew_each_time(tmp_path: Path):
    """Nothing is attacked: what rules say now counts, and not what they said before."""
    async with world(tmp_path) as w:
        await few(w)
        caller = await w.caller()
        await deny_often(w, caller, FEW.denials_max + 1)
        w.policy.answer = opinion(deny("ANOTHER"))
        other = await w.refund(caller)
        assert (other.state, other.code) == (InvocationState.DENIED, "ANOTHER")
        assert await w.store.find_request(caller.session.name, other.request_id) is not None
        w.policy.answer = opinion(allow())
        assert (await w.refund(caller)).state is InvocationState.HELD
        w.policy.answer = opinion(deny())
        w.clock.advance(FEW.window_s)
        anew = await w.refund(caller)
        assert await w.store.find_request(caller.session.name, anew.request_id) is not None


async def test_what_is_no_call_keeps_few_entries(tmp_path: Path):
    """Fill the log with bytes that are no JSON, each under a request id of its own."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        for number in range(60):
            with pytest.raises(MalformedRequest):
                await w.enforcer.invoke(
                    caller, request_id=f"m{number}", tool="refund", arguments_json=b"{"
                )
        await w.enforcer.repeats.flush(everything=True)
        counts = [said["count"] for said in await told(w, "request.malformed")]
        assert len(counts) == ENTRIES_PER_WINDOW + 1
        assert sum(counts) == 60
