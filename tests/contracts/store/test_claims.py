"""Work that any broker may do is done by one, and is nobody's once that one is gone."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from broker.core.control_rows import credential_row, tool_row
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.manifest import parse
from broker.store.claims import Claims
from tests.fakes.decision_point import hold, opinion
from tests.postgres import server
from tests.several_stores import Stores
from tests.world import (
    AGENT,
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


def _name(url: str) -> str:
    return url.split("/")[3].split("?", maxsplit=1)[0]
