"""Permits whose time, session or call is over just when somebody takes them or says how it went."""

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from broker.core import limits
from broker.core.calls import Person
from broker.core.errors import NotFound
from broker.core.lifecycle import InvocationState as State
from broker.enforcer.last_words import LastWords
from broker.fairness.queue import NoPlace
from broker.ports import Succeeded
from broker.rpc.permitting import permit_out
from broker.sessions import REVOKED
from broker.tools.caller import CallerHub
from tests.attacks.test_permits_of_killed_brokers import AFTER_THE_LEASE_S
from tests.called import PAID, TAKER, Called, beside, called
from tests.hurried import Hurried

TAKEN_WITHIN_S = 0.2
IMPATIENT = functools.partial(CallerHub, take_within_s=TAKEN_WITHIN_S)


async def test_no_permit_of_a_call_that_was_ended_while_its_session_was_looked_up(tmp_path: Path):
    """Take the permit at the end of the time to take it, while the database is slow: the call is
    recorded as never started, its exclusive key is free, and I execute it beside the next one."""
    async with called(tmp_path, hub=IMPATIENT) as c:
        permits = c.world.permits
        with permits.awaited(c.caller.session.name, "r", TAKER):
            invocation = await c.world.refund(c.caller, request_id="r")
            assert invocation.state is State.RUNNING
            slow: Any = Hurried(c.world.store, "find_session", _until_it_is_over)
            _, permit = await dataclasses.replace(permits, store=slow).taken(invocation, TAKER)
        assert (await c.find(invocation)).state is State.CANCELLED
        assert permit is None


async def test_no_permit_in_a_session_that_was_revoked_while_its_request_waited(tmp_path: Path):
    """Hang up on the first request, keep all my places busy and repeat it: it waits for its turn,
    and takes the permit in a session that was revoked meanwhile."""
    async with called(tmp_path) as c:
        w, session = c.world, c.caller.session
        with w.permits.awaited(session.name, "r", TAKER):
            invocation = await w.refund(c.caller, request_id="r")
        async with _all_places(c):
            asking = asyncio.create_task(c.ask(request_id="r"))
            await asyncio.sleep(0.1)
            assert not asking.done()
            await w.sessions.end(session, state=REVOKED, actor="people/x", reason="revoked")
        _, permit = await asking
        assert permit is None
        assert (await c.beyond(invocation, State.RUNNING)).state is State.CANCELLED


@pytest.mark.parametrize("step_s", [-3_600.0, 3_600.0])
async def test_a_permit_is_good_for_as_long_as_its_word_is_waited_for(
    tmp_path: Path, step_s: float
):
    """Set the broker's clock back before the permit is taken: it is good for an hour, and what
    somebody has settled as not done happens afterwards."""
    async with called(tmp_path) as c:
        with c.world.permits.awaited(c.caller.session.name, "r", TAKER):
            invocation = await c.world.refund(c.caller, request_id="r")
            await c.hub.opened(invocation.name)
            c.world.clock.advance(step_s)
            _, permit = await c.world.permits.taken(invocation, TAKER)
        assert permit is not None
        told = permit_out(permit, left_s=permit.left_s())
        assert told is not None
        good_s = told.valid_for.ToTimedelta().total_seconds()
        assert permit.call.deadline_s - 5 < good_s <= permit.call.deadline_s
        await c.report(invocation, permit, PAID)


async def test_late_words_at_once_are_no_more_than_one_after_another(tmp_path: Path):
    """Say a hundred different things at once of a call that is over, so that each finds room."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        await c.report(invocation, permit, PAID)
        words = [Succeeded(result_json=b'"%d"' % number) for number in range(32)]
        told = await asyncio.gather(*(c.report(invocation, permit, word) for word in words))
        assert [one for one in told if one.counted] == []
        kinds = await c.kinds(invocation)
        assert kinds["attempt.answered_late"] == limits.LATE_ANSWERS_MAX


async def test_who_acts_for_another_person_reports_at_no_broker(tmp_path: Path):
    """Show another person's permit with a token of the same agent that acts for me."""
    async with called(tmp_path, exclusive=[]) as c, beside(c) as other:
        stranger = dataclasses.replace(c.agent, acting_for=Person(issuer="idp", subject="mallory"))
        invocation, permit = await c.ask()
        token = permit.call.fencing_token
        for broker in (c, other):
            with pytest.raises(NotFound):
                await broker.world.permits.report(stranger, invocation.name, token, PAID)
        assert (await c.find(invocation)).state is State.RUNNING
        await c.report(invocation, permit, PAID)


async def test_one_call_that_cannot_be_ended_does_not_keep_the_others(tmp_path: Path):
    """Have one call of a killed broker that nothing can be made of, and all after it stay RUNNING
    for ever."""
    async with called(tmp_path, exclusive=[]) as c, beside(c, is_heard=False) as other:
        first, _ = await c.ask()
        second, _ = await c.ask()
        await c.kill()
        c.world.clock.advance(AFTER_THE_LEASE_S)
        recovery = other.world.recovery
        broken = _Broken(recovery.last_words, first.name)
        await dataclasses.replace(recovery, last_words=broken).sweep_once()
        assert (await c.find(second)).state is State.UNKNOWN
        assert (await c.find(first)).state is State.RUNNING


async def _until_it_is_over() -> None:
    await asyncio.sleep(3 * TAKEN_WITHIN_S)


@contextlib.asynccontextmanager
async def _all_places(c: Called) -> AsyncGenerator[None]:
    """While the block runs, the agent has every place that it may have."""
    w = c.world
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.suppress(NoPlace):
            while True:
                place = w.enforcer.places.place(
                    c.caller.agent.id, c.caller.principal.id, within_s=0.05
                )
                await stack.enter_async_context(place)
        yield


class _Broken:
    """Last words with a defect of one call."""

    def __init__(self, words: LastWords, name: str) -> None:
        self._words = words
        self._name = name
        self.permits = words.permits

    async def of(self, invocation: Any) -> Any:
        if invocation.name == self._name:
            raise ValueError("of this one")
        return await self._words.of(invocation)
