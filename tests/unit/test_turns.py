"""Turns are for fairness: first come, first served, and nobody waits for one for ever."""

import asyncio

from broker.enforcer.turns import Turns


async def test_turns_come_in_order_and_leave_nothing_behind():
    turns, order = Turns(), []

    async def take(n: int) -> None:
        async with turns.of(["b", "a"] if n % 2 else ["a", "b", "a"]):
            order.append(n)
            await asyncio.sleep(0)
            order.append(n)

    await asyncio.gather(*(take(n) for n in range(6)))
    assert order == [n for n in range(6) for _ in range(2)]
    assert not turns._locks
    assert not turns._waiting


async def test_a_turn_that_does_not_come_is_done_without():
    turns, going = Turns(wait_s=0.01), asyncio.Event()

    async def hog() -> None:
        async with turns.of(["a"]):
            await going.wait()

    hogging = asyncio.ensure_future(hog())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        async with turns.of(["a", "b"]):
            assert not hogging.done()
    going.set()
    await hogging
    assert not turns._locks


async def test_whoever_stops_waiting_holds_up_nobody():
    turns, going = Turns(), asyncio.Event()

    async def take() -> None:
        async with turns.of(["a"]):
            await going.wait()

    first, second, third = (asyncio.ensure_future(take()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    going.set()
    await asyncio.gather(first, third)
    assert not turns._locks
