"""Places go round among those who wait, and nobody is kept out by what somebody else has asked."""

import asyncio
import contextlib
from typing import Any

import pytest

from broker.fairness.queue import FairQueue, NoPlace, Places

FOUR = Places(most=4, alone_max=3, crowd_max=4)


class Crowd:
    """Many who take places, and let them go when they are told."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.going: dict[str, asyncio.Semaphore] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, name: str, times: int = 1, *, within_s: float = 5.0) -> None:
        self.going.setdefault(name, asyncio.Semaphore(0))
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._take(name, within_s)))
        await turns()

    async def _take(self, name: str, within_s: float) -> None:
        async with self.queue.place(name, within_s=within_s):
            self.order.append(name)
            await self.going[name].acquire()

    async def go(self, name: str, times: int = 1) -> None:
        for _ in range(times):
            self.going[name].release()
            await turns()

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert self.queue.taken == 0


async def turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@pytest.fixture
async def crowd() -> Any:
    made = Crowd(FairQueue(FOUR))
    yield made
    await made.end()


async def test_who_is_alone_has_nearly_all(crowd: Crowd):
    await crowd.come("a", 9)
    assert crowd.queue.taken_of("a") == 3


async def test_one_place_is_free_for_who_comes_later(crowd: Crowd):
    await crowd.come("flood", 64)
    await crowd.come("b")
    assert crowd.order == ["flood"] * 3 + ["b"]


async def test_who_had_much_gets_no_more_until_it_has_its_part(crowd: Crowd):
    await crowd.come("flood", 64)
    await crowd.come("b", 3)
    await crowd.go("flood")
    assert crowd.order[4:] == ["b"]
    await crowd.go("flood")
    await crowd.go("b")
    assert crowd.order[5:] == ["flood", "b"]
    assert (crowd.queue.taken_of("flood"), crowd.queue.taken_of("b")) == (2, 2)


async def test_turns_go_round_however_many_each_has_asked_for(crowd: Crowd):
    await crowd.come("x", 3)
    await crowd.come("a", 8)
    await crowd.come("b", 8)
    await crowd.come("c", 2)
    await crowd.go("x", 3)
    for _ in range(6):
        for name in ("a", "b", "c"):
            await crowd.go(name)
    first = crowd.order[3:9]
    assert {name: first.count(name) for name in "abc"} == {"a": 2, "b": 2, "c": 2}


async def test_what_one_asks_more_makes_nobody_wait_for_more_than_a_part():
    queue = FairQueue(Places(most=8, alone_max=7, crowd_max=4))
    crowd = Crowd(queue)
    await crowd.come("flood", 1_000)
    ahead = 0
    for _ in range(50):
        before = crowd.order.count("flood")
        await crowd.come("b")
        ahead = max(ahead, crowd.order.count("flood") - before)
        await crowd.go("flood", 2)
        await crowd.go("b")
    assert crowd.order.count("b") == 50
    assert ahead == 0
    await crowd.end()


async def test_none_that_comes_in_time_is_none(crowd: Crowd):
    await crowd.come("a", 3)
    await crowd.come("b")
    with pytest.raises(NoPlace):
        async with crowd.queue.place("a", within_s=0.01):
            raise AssertionError("It has no place.")
    await crowd.go("a", 3)
    await crowd.go("b")
    assert crowd.queue.taken == 0


async def test_too_many_may_not_wait():
    queue = FairQueue(Places(most=1, alone_max=1, crowd_max=1, waiting_max=2))
    crowd = Crowd(queue)
    await crowd.come("a", 3)
    with pytest.raises(NoPlace):
        async with queue.place("a", within_s=5.0):
            raise AssertionError("It has no place.")
    await crowd.end()


async def test_who_stops_waiting_takes_no_place(crowd: Crowd):
    await crowd.come("a", 4)
    crowd.tasks[-1].cancel()
    await turns()
    await crowd.go("a", 3)
    assert crowd.queue.taken == 0


async def test_who_is_given_a_place_and_cancelled_at_once_gives_it_back(crowd: Crowd):
    await crowd.come("a", 4)
    crowd.going["a"].release()
    while not crowd.tasks[0].done():
        await asyncio.sleep(0)
        crowd.tasks[3].cancel()
    await turns()
    assert crowd.queue.taken == 2


async def test_who_has_gone_leaves_nothing():
    queue = FairQueue(FOUR, present_s=0.0)
    crowd = Crowd(queue)
    await crowd.come("b")
    await crowd.go("b")
    await crowd.come("a", 3)
    assert queue.taken_of("a") == 3
    assert list(queue._names) == ["a"]
    await crowd.end()


async def test_a_name_with_many_members_has_no_more_than_one_with_one():
    queue = FairQueue(Places(most=8, alone_max=7, crowd_max=4))
    async with contextlib.AsyncExitStack() as taken:
        await taken.enter_async_context(queue.place("b", "only", within_s=5.0))
        for number in range(2):
            await taken.enter_async_context(queue.place("flood", f"{number}", within_s=5.0))
        for number in range(2, 20):
            with pytest.raises(NoPlace):
                async with queue.place("flood", f"{number}", within_s=0.001):
                    raise AssertionError("It has no place.")
        await taken.enter_async_context(queue.place("b", "only", within_s=5.0))
        assert (queue.taken_of("flood"), queue.taken_of("b")) == (2, 2)


async def test_turns_go_round_the_members_of_a_name():
    queue = FairQueue(Places(most=2, alone_max=1, crowd_max=1))
    order: list[str] = []
    first = queue.place("a", "much", within_s=5.0)
    await first.__aenter__()

    async def come(member: str) -> None:
        async with queue.place("a", member, within_s=5.0):
            order.append(member)

    tasks = [asyncio.create_task(come("much")) for _ in range(4)]
    await turns()
    tasks += [asyncio.create_task(come("little")) for _ in range(2)]
    await turns()
    await first.__aexit__(None, None, None)
    await asyncio.gather(*tasks)
    assert order[:4].count("little") == 2
    assert queue.taken == 0


async def rested(queue: FairQueue, *, waiting: int) -> list[bool]:
    """Whether the next in each turn of the loop has come, after a place that is to rest."""
    order: list[str] = []

    async def come() -> None:
        async with queue.place("a", within_s=5.0):
            order.append("a")

    async with queue.place("a", within_s=5.0) as place:
        place.rest_s = 0.02
        tasks = [asyncio.create_task(come()) for _ in range(waiting)]
        await turns()
    await turns()
    came = [bool(order)]
    async with asyncio.timeout(5.0):
        await asyncio.gather(*tasks)
    return [*came, bool(order)]


async def test_a_place_rests_before_more_of_the_same_name_have_it():
    queue = FairQueue(Places(most=4, alone_max=1, crowd_max=2))
    assert await rested(queue, waiting=1) == [False, True]


async def test_a_place_for_which_nobody_waits_is_free_at_once():
    queue = FairQueue(Places(most=4, alone_max=1, crowd_max=2))
    assert await rested(queue, waiting=0) == [False, False]
    assert queue.taken == 0
