"""Work that any broker may do is done by one, and is nobody's once that one is gone."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from broker.core.calls import Invocation
from broker.core.control_rows import credential_row, tool_row
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.manifest import parse
from broker.enforcer.reconciling import PAUSES_S
from broker.ports import Lost, Succeeded
from broker.store.claims import Claims
from tests.fakes.decision_point import allow, hold, opinion
from tests.postgres import server
from tests.reconciled import FIND, RECONCILE
from tests.several_stores import Stores
from tests.world import (
    AGENT,
    ONCE,
    REFUND,
    FakeClock,
    World,
    build,
    policy_in_force,
    reviewer,
)

WITHIN_S = 30.0
HOLD = "holds/1"


@contextlib.asynccontextmanager
async def claims_of(url: str, count: int) -> AsyncGenerator[list[Claims]]:
    made = [Claims(url) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            await each.close()


async def test_a_name_is_had_by_one_and_then_by_another(url: str):
    async with claims_of(url, 2) as (one, other):
        async with one.claimed(HOLD) as mine:
            assert mine
            async with other.claimed(HOLD) as its, other.claimed("holds/2") as apart:
                assert (its, apart) == (False, True)
        async with other.claimed(HOLD) as its:
            assert its


async def test_what_a_broker_had_is_nobodys_once_it_is_gone(url: str):
    """Pull the plug of the broker that has the hold, so that it never runs."""
    async with claims_of(url, 2) as (one, other), one.claimed(HOLD):
        ended = (
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            f" WHERE l.locktype = 'advisory' AND a.datname = '{_name(url)}'"
        )
        await asyncio.to_thread(server().run, ended)
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with other.claimed(HOLD) as its:
                    if its:
                        break
                await asyncio.sleep(0.01)


async def test_where_the_database_does_not_say_the_work_is_done():
    nowhere = Claims("postgresql://nobody@127.0.0.1:1/none")
    async with nowhere.claimed(HOLD) as mine:
        assert mine
    await nowhere.close()


@pytest.fixture
async def brokers(stores: Stores, url: str) -> AsyncGenerator[list[World]]:
    """Three, with one clock; each has facts and a tool of its own to ask."""
    clock = FakeClock()
    async with claims_of(url, 3) as claims:
        built = [
            await build(store, clock, owner=f"brokers/{number}")
            for number, store in enumerate(stores)
        ]
        first = built[0]
        rows = (policy_in_force(), credential_row(first.agent), tool_row(parse(REFUND)))
        await first.put(*rows)
        for subject in ("groups/customers", AGENT):
            await first.grant(subject, "refunds:write")
        for each, claim in zip(built, claims, strict=True):
            await each.room.refresh()
            each.policy.answer = opinion(hold("LARGE"))
            each.use(claimed=claim.claimed)
        yield built
        for each in built:
            await each.own.drain(within_s=5.0)


async def approved(w: World) -> Any:
    """A refund whose hold was approved, and is to be run once its reviewer cannot take it back."""
    held = await w.refund(await w.caller())
    found = await w.store.find_hold(held.hold)
    await w.reviews.approve(
        reviewer("lead", "reviewers"), held.hold, etag=found[0].etag, take_back_s=10
    )
    w.clock.advance(11)
    return held


async def test_facts_of_an_approved_call_are_looked_up_by_one_of_three(brokers: list[World]):
    """Approve what costs its system of record much to look up, as often as there are brokers."""
    held = await approved(brokers[0])
    asked: list[int] = []
    go_on = asyncio.Event()

    def watch(number: int, w: World) -> None:
        gather = w.shop.gather

        async def slow(*args: Any, **given: Any) -> Any:
            asked.append(number)
            await go_on.wait()
            return await gather(*args, **given)

        w.shop.gather = slow  # type: ignore[method-assign]

    for number, w in enumerate(brokers):
        watch(number, w)
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(w.recovery.sweep_once() for w in brokers))
        while not asked or sum(bool(w.own.tasks) for w in brokers) > len(asked):
            await asyncio.sleep(0.01)
        assert len(asked) == 1
        go_on.set()
        while any(w.own.tasks for w in brokers):
            await asyncio.sleep(0.01)
        # Whoever comes once it is done finds that it is done.
        await asyncio.gather(*(w.recovery.sweep_once() for w in brokers))
        while any(w.own.tasks for w in brokers):
            await asyncio.sleep(0.01)
    assert len(asked) == 1
    ended = await brokers[0].store.find_invocation(held.name)
    assert ended.state is InvocationState.SUCCEEDED
    assert (await brokers[0].store.find_hold(held.hold))[0].state is HoldState.CLAIMED
    assert sum(len(w.runner.ran) for w in brokers) == 1


async def test_a_broker_that_cannot_run_it_leaves_it_to_one_that_can(brokers: list[World]):
    """Approve at the broker that has no worker, which is at the hold again with every sweep."""
    held = await approved(brokers[0])
    for w in brokers[:2]:
        w.runner.free = 0
    async with asyncio.timeout(WITHIN_S):
        while (await brokers[0].store.find_invocation(held.name)).state is InvocationState.HELD:
            await asyncio.gather(*(w.recovery.sweep_once() for w in brokers))
            await asyncio.sleep(0.01)
    assert [len(w.runner.ran) for w in brokers] == [0, 0, 1]


async def lost(brokers: list[World]) -> Invocation:
    """A refund of which nobody knows what became, and of which each of the brokers has heard."""
    first = brokers[0]
    await first.put_tool(FIND)
    await first.put_tool(behaviour=ONCE, reconcile=RECONCILE)
    for w in brokers:
        await w.room.refresh()
        w.policy.answer = opinion(allow())
        w.runner.effect = lambda _: Lost(why="no answer")
    unknown = await first.refund(await first.caller())
    assert unknown.state is InvocationState.UNKNOWN
    for w in brokers:
        await w.recovery.recover()
        w.runner.effect = lambda _: Succeeded(result_json=b'{"made":true}')
    first.runner.ran.clear()
    first.clock.advance(10)
    return unknown


async def swept(brokers: list[World]) -> None:
    await asyncio.gather(*(w.recovery.sweep_once() for w in brokers))
    while any(w.own.tasks for w in brokers):
        await asyncio.sleep(0.01)


async def test_what_became_of_a_call_is_asked_by_one_of_three(brokers: list[World]):
    """Let a call get lost whose tool takes long to say what became of it."""
    unknown = await lost(brokers)
    for w in brokers:
        w.runner.going.clear()
    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*(w.recovery.sweep_once() for w in brokers))
        while not (asking := [w for w in brokers if w.runner.free < 100]) or len(asking) < sum(
            bool(w.own.tasks) for w in brokers
        ):
            await asyncio.sleep(0.01)
        assert len(asking) == 1
        for w in brokers:
            w.runner.going.set()
        await swept(brokers)
        brokers[0].clock.advance(PAUSES_S[0])
        await swept(brokers)  # whoever comes once it is settled asks nothing more
    assert sum(len(w.runner.ran) for w in brokers) == 1
    found = await brokers[0].store.find_invocation(unknown.name)
    assert (found.state, found.code) == (InvocationState.SUCCEEDED, "RECONCILED")


async def test_what_a_broker_asked_that_is_gone_is_asked_by_another(brokers: list[World], url: str):
    """Kill the broker that asks, so that nobody ever asks again."""
    unknown = await lost(brokers)
    name = f"reconcile {unknown.name}"
    async with asyncio.timeout(WITHIN_S), claims_of(url, 1) as (gone,), gone.claimed(name) as its:
        assert its
        await swept(brokers)
        assert not any(w.runner.ran for w in brokers)
        await gone.close()
        for pause_s in PAUSES_S:  # the server may notice a moment later
            brokers[0].clock.advance(pause_s)
            await swept(brokers)
            await asyncio.sleep(0.1)
    assert sum(len(w.runner.ran) for w in brokers) == 1
    found = await brokers[0].store.find_invocation(unknown.name)
    assert found.state is InvocationState.SUCCEEDED


def _name(url: str) -> str:
    return url.split("/")[3].split("?", maxsplit=1)[0]
