"""The broker of a call is killed; its agent's process has said how it ended, or says so now."""

import asyncio
from pathlib import Path

from broker.core import limits
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import InvocationState as State
from broker.core.reports import KeepReport, KeptReport
from broker.core.unit import Unit
from broker.ports import Failed
from broker.tools.reports import written
from tests.called import LOCAL_REFUND, PAID, beside, called

NO = Failed(code="NO", message="No.")
AFTER_THE_LEASE_S = limits.LEASE_S + limits.STORE_DEADLINE_S + 1


async def test_the_owner_is_killed_between_the_word_and_the_end(tmp_path: Path):
    """Say that it worked, kill the call's broker, and have the call UNKNOWN, so that a person who
    knows nothing of it settles it."""
    async with called(tmp_path) as c, beside(c, is_heard=False) as other:
        invocation, permit = await c.ask()
        saying = asyncio.create_task(other.report(invocation, permit, PAID))
        await c.kept(invocation)
        await c.kill()
        await other.world.recovery.sweep_once()
        assert (await c.find(invocation)).state is State.RUNNING  # nobody is gone this early
        await c.world.freeze(FreezeKind.TOOL, "refund")
        await other.world.room.refresh()
        c.world.clock.advance(AFTER_THE_LEASE_S)
        await other.world.recovery.sweep_once()
        reported = await saying
        assert (reported.counted, reported.invocation.state) == (True, State.SUCCEEDED)
        assert reported.invocation.result == PAID.result_json
        ended = await c.entry(invocation, "call.ended")
        assert ended["body"]["run"]["reported_by"] == "agent"
        assert ended["body"]["run"]["frozen_meanwhile"].startswith("freezes/")
        assert (ended["body"]["output_trust"], ended["actor"]) == ("untrusted", "broker")
        seen = await c.world.store.seen(invocation.session, [], now=c.world.clock())
        assert [one.invocation for one in seen.sightings] == [invocation.name]
        await other.world.recovery.sweep_once()
        assert await c.world.store.find_report(invocation.name) is None


async def test_what_an_owner_that_is_killed_left_in_silence_is_unknown(tmp_path: Path):
    """Kill my call's broker, and say how it ended once I have seen what that is worth to me."""
    async with called(tmp_path) as c, beside(c, is_heard=False) as other:
        invocation, permit = await c.ask()
        await c.kill()
        c.world.clock.advance(AFTER_THE_LEASE_S)
        with other.world.events.subscribe("report") as brought:
            saying = asyncio.create_task(other.report(invocation, permit, NO))
            assert await brought.next(5.0) == invocation.name
        assert await c.world.store.find_report(invocation.name) is None
        await other.world.recovery.sweep_once()
        reported = await saying
        assert (reported.counted, reported.invocation.state) == (False, State.UNKNOWN)


async def test_a_planted_word_does_not_settle_what_a_killed_owner_left(tmp_path: Path):
    """Write a row for a call whose broker is gone, and have another one take it for the end."""
    async with called(tmp_path) as c, beside(c, is_heard=False) as other:
        invocation, _ = await c.ask()
        row = KeptReport(
            invocation=invocation.name, attempt=1, body=written(NO), said=b"x", at=c.world.clock()
        )
        await c.world.store.commit(Unit(changes=(KeepReport(report=row),), entries=()))
        await c.kill()
        c.world.clock.advance(AFTER_THE_LEASE_S)
        await other.world.recovery.sweep_once()
        assert (await c.find(invocation)).state is State.UNKNOWN


async def test_a_word_on_another_tool_than_was_decided_on_is_not_looked_at(tmp_path: Path):
    """Have the tool changed once the broker is gone, so that what I said is read in another way."""
    async with called(tmp_path) as c, beside(c, is_heard=False) as other:
        invocation, permit = await c.ask()
        saying = asyncio.create_task(other.report(invocation, permit, PAID))
        await c.kept(invocation)
        await c.kill()
        await other.world.put_tool(LOCAL_REFUND, description="Another.")
        c.world.clock.advance(AFTER_THE_LEASE_S)
        await other.world.recovery.sweep_once()
        reported = await saying
        assert (reported.counted, reported.invocation.state) == (False, State.UNKNOWN)
