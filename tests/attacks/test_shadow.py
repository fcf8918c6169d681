"""Profiting from a policy that is only asked beside the one in force."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from broker.core.arguments import JsonValue
from broker.core.decision import Effect, Opinion
from broker.core.errors import PolicyUnavailable
from broker.core.lifecycle import InvocationState
from broker.core.observing_rows import observation_row
from broker.core.shadow_rows import ON, SHADOW, shadow_row, tally_key, tally_of
from broker.core.shadowing import Shadow, Tally
from broker.core.unit import DropControl
from broker.enforcer.shadowing import Shadowing
from broker.policy.opinion import denied
from tests.fakes.decision_point import REVISION, FakeDecisionPoint, allow, deny, hold, opinion
from tests.unit.core.trials import note, observation
from tests.world import NOW, World, policy_in_force, world

BESIDE = f"sha256:{'e' * 64}"
ONE = Shadow(
    name="shadows/1",
    revision=BESIDE,
    families=("test",),
    reason="before it decides",
    started_by="operator-1",
    started_at=NOW,
)
DENIED, HELD, SUCCEEDED = InvocationState.DENIED, InvocationState.HELD, InvocationState.SUCCEEDED
HOLD, ALLOW, DENY = Effect.HOLD, Effect.ALLOW, Effect.DENY


class TwoPolicies:
    """Implements `ports.Policies` with the one that decides and the one beside it."""

    def __init__(self, point: FakeDecisionPoint) -> None:
        self.points = {REVISION: point, BESIDE: FakeDecisionPoint(said(), revision=BESIDE)}

    def at(self, revision: str) -> FakeDecisionPoint:
        if revision not in self.points:
            raise PolicyUnavailable("Policy cannot be asked now.")
        return self.points[revision]

    @property
    def beside(self) -> FakeDecisionPoint:
        return self.points[BESIDE]


def said(*verdicts: Any) -> Opinion:
    return opinion(*(verdicts or (allow(),)), revision=BESIDE)


@contextlib.asynccontextmanager
async def shadowed(path: Path, **given: Any) -> AsyncGenerator[tuple[World, TwoPolicies]]:
    """A broker with a shadow that allows everything and is being asked."""
    async with world(path) as w:
        policies = TwoPolicies(w.policy)
        w.use(policies=policies)
        if given:
            w.shadowing = Shadowing(
                control=w.room.current, policies=policies, store=w.store, owner="brokers/1", **given
            )
            w.enforcer._shadowing = w.shadowing
        await w.put(shadow_row(ONE))
        running = asyncio.create_task(w.shadowing.run())
        try:
            yield w, policies
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def seen(w: World) -> Tally:
    async with asyncio.timeout(5):
        await w.shadowing.settled()
    return w.shadowing.tally(ONE)


async def test_what_the_shadow_would_allow_stays_held_or_denied(tmp_path: Path):
    """Wait for a second policy that allows everything, and act while it is tried out."""
    async with shadowed(tmp_path) as (w, _):
        caller = await w.caller()
        w.policy.answer = opinion(hold("NEEDS_PERSON"))
        held = await w.refund(caller)
        w.policy.answer = opinion(deny("FORBIDDEN"))
        refused = await w.refund(caller)
        assert (held.state, refused.state) == (HELD, DENIED)
        assert w.runner.ran == []
        tally = await seen(w)
        assert (tally.decisions, dict(tally.differences)) == (
            2,
            {(DENY, ALLOW): 1, (HOLD, ALLOW): 1},
        )
        ((example,),) = (tally.examples[(DENY, ALLOW)],)
        assert (example.invocation, example.tool) == (refused.name, "refund")
        assert (example.codes_before, example.codes_after) == (("FORBIDDEN",), ("ALLOWED",))


async def test_what_the_shadow_would_deny_runs_and_is_counted(tmp_path: Path):
    """Have a harsh policy tried out, to stop the shop with it."""
    async with shadowed(tmp_path) as (w, policies):
        policies.beside.answer = said(deny())
        assert (await w.refund(await w.caller())).state is SUCCEEDED
        assert dict((await seen(w)).differences) == {(ALLOW, DENY): 1}


async def test_no_call_waits_for_a_shadow_that_does_not_answer(tmp_path: Path):
    """Send a question on which the tried policy hangs, to slow everybody down."""
    async with shadowed(tmp_path) as (w, policies):
        policies.beside.answering.clear()
        caller = await w.caller()
        async with asyncio.timeout(5):
            for _ in range(3):
                assert (await w.refund(caller, 100)).state is SUCCEEDED
        assert w.shadowing.tally(ONE).decisions == 0
        policies.beside.answering.set()
        assert (await seen(w)).decisions == 3


async def test_a_flood_fills_no_memory_and_what_is_left_out_is_counted(tmp_path: Path):
    """Ask faster than the tried policy answers, for ever."""
    async with shadowed(tmp_path, waiting_max=2) as (w, policies):
        policies.beside.answering.clear()
        caller = await w.caller()
        for _ in range(6):
            await w.refund(caller, 100)
        policies.beside.answering.set()
        tally = await seen(w)
        assert tally.dropped >= 3
        assert tally.decisions + tally.dropped == 6


async def test_a_shadow_that_is_away_late_or_fails_harms_nothing_and_is_counted(tmp_path: Path):
    """Break the tried policy with a hostile question, and the broker's own loop with it."""
    async with shadowed(tmp_path) as (w, policies):
        caller = await w.caller()
        policies.beside.away = True
        assert (await w.refund(caller, 100)).state is SUCCEEDED
        assert (await seen(w)).unanswered == 1
        policies.beside.away = False
        policies.beside.answer = denied("POLICY_LATE", revision=BESIDE)
        assert (await w.refund(caller, 100)).state is SUCCEEDED
        assert (await seen(w)).unanswered == 2

        def broken(_question: Mapping[str, JsonValue]) -> Opinion:
            raise ValueError("nobody expected this")

        policies.beside.answer = broken
        assert (await w.refund(caller, 100)).state is SUCCEEDED
        assert (await seen(w)).unanswered == 3
        policies.beside.answer = said()
        assert (await w.refund(caller, 100)).state is SUCCEEDED
        tally = await seen(w)
        assert (tally.decisions, tally.unanswered, dict(tally.differences)) == (1, 3, {})


async def test_what_policy_was_spared_of_is_not_asked_beside(tmp_path: Path):
    """Learn from the tried policy about calls that the broker itself refuses."""
    async with shadowed(tmp_path) as (w, policies):
        caller = await w.caller()
        assert (await w.refund(caller, order_id="O-9999")).state is DENIED
        assert (await seen(w)).decisions == 0
        assert policies.beside.asked == []


async def test_the_shadow_is_judged_by_the_same_law_observations_included(tmp_path: Path):
    """Hide what would be loosened behind a family that is only observed."""
    async with shadowed(tmp_path) as (w, policies):
        await w.put_tool(note())
        await w.put(observation_row(observation(family="")), observation_row(observation()))
        caller = await w.caller()
        w.policy.answer = opinion(hold("NEEDS_PERSON"))
        policies.beside.answer = said(hold("NEEDS_PERSON"))
        asked = {"tool": "note", "arguments_json": b'{"order_id":"O-1001"}'}
        assert (await w.enforcer.invoke(caller, request_id="n1", **asked)).state is HELD
        tally = await seen(w)
        assert (tally.decisions, dict(tally.differences)) == (1, {})


async def test_other_terms_are_a_difference_though_both_hold(tmp_path: Path):
    """Slip in a policy that asks for one easy approval where there were two hard ones."""
    async with shadowed(tmp_path) as (w, policies):
        w.policy.answer = opinion(hold("TWO_NEEDED"))
        policies.beside.answer = said(hold("ONE_IS_ENOUGH"))
        assert (await w.refund(await w.caller())).state is HELD
        assert dict((await seen(w)).differences) == {(HOLD, HOLD): 1}


async def test_what_was_seen_outlives_the_broker(tmp_path: Path):
    """Restart the broker, so that nobody learns what the tried policy would have let through."""
    async with shadowed(tmp_path) as (w, policies):
        policies.beside.answer = said(deny())
        await w.refund(await w.caller())
        await seen(w)
        await w.shadowing.write()
        kept = await w.store.shadow_tallies(tally_key(ONE.name, REVISION))
        assert [tally_of(body) for body in kept.values()] == [w.shadowing.tally(ONE)]
        assert list(kept) == ["brokers/1"]


async def test_nothing_is_asked_once_it_is_off(tmp_path: Path):
    """Go on feeding a policy that an operator has taken away."""
    async with shadowed(tmp_path) as (w, policies):
        await w.put(DropControl(kind=SHADOW, key=ON))
        await w.refund(await w.caller())
        assert (await seen(w)).decisions == 0
        assert policies.beside.asked == []


async def test_what_was_seen_beside_one_policy_says_nothing_of_another(tmp_path: Path):
    """Let a loose policy be tried beside a loose one, then show its few differences as a proof."""
    other = f"sha256:{'c' * 64}"
    async with shadowed(tmp_path) as (w, policies):
        policies.points[other] = FakeDecisionPoint(opinion(deny(), revision=other), revision=other)
        caller = await w.caller()
        await w.refund(caller)
        assert (await seen(w)).decisions == 1
        await w.put(policy_in_force(other))
        assert await seen(w) == Tally()
        await w.refund(caller)
        assert dict((await seen(w)).differences) == {(DENY, ALLOW): 1}
        await w.put(policy_in_force(REVISION))
        assert (await seen(w)).decisions == 1
        await w.shadowing.write()
        for revision, differences in ((REVISION, {}), (other, {(DENY, ALLOW): 1})):
            kept = await w.store.shadow_tallies(tally_key(ONE.name, revision))
            (tally,) = [tally_of(body) for body in kept.values()]
            assert (tally.decisions, dict(tally.differences)) == (1, differences)
