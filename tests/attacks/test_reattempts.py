"""Attacks on the one thing that is done again: a call of an idempotent tool whose owner is gone."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from broker.core import limits
from broker.core.audit import EntryKind
from broker.core.calls import Caller, Invocation
from broker.core.canonical import digest
from broker.core.errors import OutcomeUnstored
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import InvocationState
from broker.core.unit import DropControl, EndSession, Unit
from broker.ports import Failed, Lost, NeverStarted, Outcome
from tests.fakes.faulty_store import Fault, FaultyStore
from tests.world import AGENT, ONCE, REFUND, World, build, policy_in_force, world

LEASE_OVER_S = 20.0
PLACES = 100
OTHER = f"sha256:{'e' * 64}"


@dataclass(kw_only=True)
class Left:
    """What a broker left RUNNING when it died, and the one that came after it."""

    later: World
    first: World
    invocation: Invocation
    caller: Caller
    task: "asyncio.Task[Any]"

    async def again(self) -> Invocation:
        """One round of the later broker, and all that it begins."""
        await self.later.recovery.sweep_once()
        while self.later.own.tasks:
            await asyncio.gather(*self.later.own.tasks, return_exceptions=True)
        found = await self.later.store.find_invocation(self.invocation.name)
        assert found is not None
        return found

    async def found(self) -> Invocation:
        """The call as it is stored."""
        found = await self.later.store.find_invocation(self.invocation.name)
        assert found is not None
        return found

    async def begun(self) -> list[int]:
        """The attempts that the log knows of."""
        entries = await self.later.store.entries(self.invocation.name)
        return [e["body"]["attempt"] for e in entries if e["kind"] == EntryKind.ATTEMPT_STARTED]

    async def stays_unknown(self) -> None:
        """It is UNKNOWN after one attempt, and nothing ran."""
        after = await self.again()
        assert (after.state, after.attempt) == (InvocationState.UNKNOWN, 1)
        assert await self.begun() == [1]
        assert not self.later.runner.ran
        assert (await self.again()).state is InvocationState.UNKNOWN


@contextlib.asynccontextmanager
async def left(path: Path, **manifest: Any) -> AsyncGenerator[Left]:
    """A broker that stopped in the middle of a refund, one after it, and a lease that is over."""
    # Outcomes that nobody wants are told with all that led to them, which takes seconds to write.
    with capture_logs():
        async with _left(path, **manifest) as one:
            yield one


@contextlib.asynccontextmanager
async def _left(path: Path, **manifest: Any) -> AsyncGenerator[Left]:
    async with world(path) as w:
        await w.put_tool({**REFUND, **manifest})
        w.runner.going.clear()
        caller = await w.caller()
        task = asyncio.ensure_future(w.refund(caller, request_id="r"))
        while w.runner.free == PLACES or not await w.store.unfinished():
            await asyncio.sleep(0.001)
        (invocation,) = await w.store.unfinished()
        later = await build(w.store, w.clock, owner="brokers/2")
        one = Left(later=later, first=w, invocation=invocation, caller=caller, task=task)
        await later.recovery.recover()
        w.clock.advance(LEASE_OVER_S)
        yield one
        w.runner.going.set()
        await asyncio.gather(task, return_exceptions=True)
        await later.own.drain(within_s=5.0)


async def test_an_idempotent_call_is_tried_again_under_its_key(tmp_path: Path):
    """Nothing is attacked: this is what the tests below rest on."""
    async with left(tmp_path) as x:
        after = await x.again()
        assert (after.state, after.attempt) == (InvocationState.SUCCEEDED, 2)
        assert await x.begun() == [1, 2]
        (ran,) = x.later.runner.ran
        assert ran.invocation.name == x.invocation.name
        assert (await x.again()).etag == after.etag


async def test_an_answer_of_the_attempt_before_counts_for_nothing(tmp_path: Path):
    """Have the broker that was taken for dead come back, and end the call its own way."""
    async with left(tmp_path) as x:
        after = await x.again()
        x.first.runner.effect = lambda _: Failed(code="NO", message="It did not.")
        x.first.runner.going.set()
        await asyncio.gather(x.task, return_exceptions=True)
        assert await x.later.store.find_invocation(x.invocation.name) == after
        fences = {call.fencing_token for call in (*x.first.runner.ran, *x.later.runner.ran)}
        assert len(fences) == 2


async def test_nothing_is_tried_before_the_lease_is_over(tmp_path: Path):
    """Have it handed over again while the first attempt may be under way."""
    async with left(tmp_path) as x:
        x.later.clock.advance(-1.0)
        assert (await x.again()).attempt == 1
        assert not x.later.runner.ran


async def test_a_later_attempt_is_not_over_when_the_one_before_it_was(tmp_path: Path):
    """Kill the broker that tries again, so that a third one does before that lease is over."""
    async with left(tmp_path) as x:
        third = await build(x.later.store, x.later.clock, owner="brokers/3")
        await third.recovery.recover()  # it waits for the first attempt's lease
        x.later.clock.advance(LEASE_OVER_S)
        x.later.runner.going.clear()
        await x.later.recovery.sweep_once()
        while (second := (await x.later.store.unfinished())[0]).attempt < 2:
            await asyncio.sleep(0.001)
        x.later.clock.advance(second.lease_expires_at - x.later.clock() - 0.5)
        await third.recovery.sweep_once()
        while third.own.tasks:
            await asyncio.gather(*third.own.tasks, return_exceptions=True)
        assert not third.runner.ran
        assert await x.begun() == [1, 2]
        x.later.runner.going.set()
        await asyncio.gather(*x.later.own.tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "manifest",
    [{"behaviour": ONCE}, {"behaviour": {**ONCE, "read_only": True, "destructive": False}}],
)
async def test_a_tool_that_is_not_declared_idempotent_is_never_tried_again(
    tmp_path: Path, manifest: dict[str, Any]
):
    """Have a payment made twice by a crash in the middle of it."""
    async with left(tmp_path, **manifest) as x:
        await x.stays_unknown()


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (FreezeKind.ALL, ""),
        (FreezeKind.TOOL, "refund"),
        (FreezeKind.AGENT, AGENT),
        (FreezeKind.PRINCIPAL, "customers/c-204"),
    ],
)
@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_freeze_stops_another_attempt(
    tmp_path: Path, kind: FreezeKind, subject: str, *, is_heard: bool
):
    """Crash the broker, so that what was frozen meanwhile runs all the same."""
    async with left(tmp_path) as x:
        await x.later.freeze(kind, subject, is_heard=is_heard)
        if not is_heard:
            await x.again()  # finds out when it would record
            assert not x.later.runner.ran
        await x.stays_unknown()


@pytest.mark.parametrize("state", ["REVOKED", "CLOSED"])
async def test_a_session_that_is_over_stops_another_attempt(tmp_path: Path, state: str):
    """Have a call of a session that was revoked carried out after a crash."""
    async with left(tmp_path) as x:
        over = EndSession(name=x.invocation.session, state=state)
        await x.later.store.commit(Unit(changes=(over,), entries=()))
        await x.stays_unknown()


async def test_a_session_that_expired_stops_another_attempt(tmp_path: Path):
    async with left(tmp_path) as x:
        x.later.clock.advance(limits.SESSION_LIFE_S_MAX)
        await x.stays_unknown()


async def test_a_grant_that_was_taken_away_stops_another_attempt(tmp_path: Path):
    """Keep by a crash what was taken from one."""
    async with left(tmp_path) as x:
        for grant in x.later.room.current().grants:
            await x.later.put(DropControl(kind="grant", key=grant.name))
        await x.stays_unknown()


async def test_a_grant_that_was_narrowed_stops_another_attempt(tmp_path: Path):
    """Keep by a crash what was left to one for less."""
    async with left(tmp_path) as x:
        for grant in x.later.room.current().grants:
            await x.later.put(DropControl(kind="grant", key=grant.name))
        for subject in (AGENT, "customers/c-204"):
            await x.later.grant(subject, "refunds:write", **{"/order_id": ["O-9"]})
        await x.stays_unknown()


async def test_another_policy_stops_another_attempt(tmp_path: Path):
    """Have a call run under rules that are no longer in force."""
    async with left(tmp_path) as x:
        await x.later.put(policy_in_force(OTHER))
        await x.stays_unknown()


async def test_another_revision_of_the_tool_stops_another_attempt(tmp_path: Path):
    """Declare the tool idempotent after the crash, or change what it does."""
    async with left(tmp_path, behaviour=ONCE) as x:
        await x.later.put_tool(REFUND)
        await x.stays_unknown()


@pytest.mark.parametrize(
    "outcome",
    [
        Failed(code="NO", message="It did not."),
        NeverStarted(why="never sent"),
        Lost(why="no answer"),
    ],
)
async def test_only_a_success_of_a_later_attempt_proves_anything(tmp_path: Path, outcome: Outcome):
    """Have the first attempt pay and the second fail, so that the payment is said not to be."""
    async with left(tmp_path) as x:
        x.later.runner.effect = lambda _: outcome
        after = await x.again()
        assert (after.state, after.attempt) == (InvocationState.UNKNOWN, 2)
        keys = await x.later.store.keys([f"order_id={digest('O-1001')}"])
        assert {k.invocation for k in keys.values()} == {x.invocation.name}


async def test_a_result_of_a_later_attempt_is_trusted_no_more_than_the_worst(tmp_path: Path):
    """Launder what the arguments carried in by having the broker forget where it was from."""
    async with left(tmp_path) as x:
        await x.again()
        seen = await x.later.store.seen(x.invocation.session, [], now=x.later.clock())
        assert [s.labels.trust for s in seen.sightings] == ["untrusted"]


async def test_there_are_only_so_many_attempts(tmp_path: Path):
    """Crash each broker in turn, so that a tool is called for ever."""
    async with left(tmp_path) as x:
        brokers = [x.later]
        for number in range(limits.ATTEMPTS_MAX):
            brokers[-1].runner.going.clear()
            await brokers[-1].recovery.sweep_once()
            while brokers[-1].own.tasks and (await x.found()).attempt < number + 2:
                await asyncio.sleep(0.01)
            brokers.append(await build(x.later.store, x.later.clock, owner=f"brokers/{number + 3}"))
            x.later.clock.advance(LEASE_OVER_S)
            await brokers[-1].recovery.recover()
            x.later.clock.advance(LEASE_OVER_S)
        await brokers[-1].recovery.sweep_once()
        found = await x.found()
        assert (found.state, found.attempt) == (InvocationState.UNKNOWN, limits.ATTEMPTS_MAX)
        assert await x.begun() == [*range(1, limits.ATTEMPTS_MAX + 1)]
        for one in brokers:
            one.runner.going.set()
            await asyncio.gather(*one.own.tasks, return_exceptions=True)


async def test_no_worker_for_long_makes_it_unknown(tmp_path: Path):
    """Take the tool's workers away, so that an order is blocked for ever."""
    async with left(tmp_path) as x:
        x.later.runner.free = 0
        assert (await x.again()).state is InvocationState.RUNNING
        x.later.clock.advance(limits.ATTEMPT_WAIT_S)
        await x.stays_unknown()


@pytest.mark.parametrize("fault", [Fault.AWAY, Fault.LOST, Fault.DOUBT])
async def test_an_attempt_that_may_not_be_recorded_runs_nothing(tmp_path: Path, fault: Fault):
    """Make the disk fail at the moment at which the attempt is announced."""
    async with left(tmp_path) as x:
        store = FaultyStore(x.later.store)
        store.faults[EntryKind.ATTEMPT_STARTED] = [fault, None]
        x.later.use(store=store)
        await x.later.recovery.recover()
        x.later.clock.advance(LEASE_OVER_S)
        after = await x.again()
        assert not x.later.runner.ran
        if fault is Fault.DOUBT:
            after = await x.again()
            assert (after.state, after.attempt) == (InvocationState.UNKNOWN, 2)
            return
        assert (after.state, after.attempt) == (InvocationState.RUNNING, 1)
        x.later.clock.advance(LEASE_OVER_S)
        for _ in range(2):
            after = await x.again()
        assert (after.state, after.attempt) == (InvocationState.SUCCEEDED, 2)


async def test_a_long_call_is_its_owners_for_as_long_as_that_keeps_it(tmp_path: Path):
    """Take a call that lasts long for one that was left behind, and have it run twice."""
    async with world(tmp_path) as w:
        await w.put_tool({**REFUND, "deadline_s": 600})
        object.__setattr__(w.recovery.carrier, "keep_lease_s", 0.01)
        w.runner.going.clear()
        caller = await w.caller()
        task = asyncio.ensure_future(w.refund(caller, request_id="r"))
        while not await w.store.unfinished():
            await asyncio.sleep(0.01)
        other = await build(w.store, w.clock, owner="brokers/2")
        for _ in range(5):
            w.clock.advance(limits.LEASE_S - 1.0)
            async with asyncio.timeout(10.0):
                while (await w.store.unfinished())[
                    0
                ].lease_expires_at <= w.clock() + limits.LEASE_S:
                    await asyncio.sleep(0.01)
            await other.recovery.sweep_once()
        assert not other.runner.ran
        w.runner.going.set()
        assert (await task).state is InvocationState.SUCCEEDED


async def test_a_lease_that_has_lapsed_is_never_had_again(tmp_path: Path):
    """Sleep past one's lease, and take the call back from whoever ended it."""
    async with world(tmp_path) as w:
        await w.put_tool({**REFUND, "deadline_s": 600, "behaviour": ONCE})
        object.__setattr__(w.recovery.carrier, "keep_lease_s", 0.01)
        w.runner.going.clear()
        caller = await w.caller()
        task = asyncio.ensure_future(w.refund(caller, request_id="r"))
        while not await w.store.unfinished():
            await asyncio.sleep(0.001)
        w.clock.advance(limits.LEASE_S + limits.STORE_DEADLINE_S)
        await asyncio.sleep(0.1)
        other = await build(w.store, w.clock, owner="brokers/2")
        await other.recovery.sweep_once()
        found = await w.store.find_request(caller.session.name, "r")
        assert found.state is InvocationState.UNKNOWN
        w.runner.going.set()
        with capture_logs(), pytest.raises(OutcomeUnstored):
            await task
