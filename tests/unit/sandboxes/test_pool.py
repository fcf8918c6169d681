"""Pools: who gets what is there, what is kept waiting, and who makes way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from sandboxes.engine import EngineUnavailable
from sandboxes.pool import NoRoom, PoolLimits, Pools
from sandboxes.profile import Profile
from sandboxes.profiles import shipped
from sandboxes.slot import Event, NotReady, Slot, SlotOrder, State
from tests.fakes.engine import DIGEST, OTHER_DIGEST, FakeEngine, echo

DEADLINE_S = 10.0


@dataclass
class Workshop:
    """Makes slots on a fake engine, and ends them."""

    engine: FakeEngine = field(
        default_factory=lambda: FakeEngine({DIGEST: echo, OTHER_DIGEST: echo})
    )
    started: int = 0
    ended: list[Slot] = field(default_factory=list)
    failing: Exception | None = None
    once_started: Callable[[], object] = lambda: None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def start(self, image: str, profile: Profile) -> Slot:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.failing is not None:
                raise self.failing
            self.started += 1
            order = SlotOrder(
                name=f"n{self.started}",
                image=image,
                profile=profile,
                uid=700_000,
                seccomp="",
                labels={},
            )
            now_s = asyncio.get_running_loop().time()
            slot = Slot(self.engine, order, started_at_s=now_s)
            await slot.start()
            # Runs after the slot was handed over, and before its taker wakes.
            asyncio.get_running_loop().call_soon(self.once_started)
        finally:
            self.at_once -= 1
        return slot

    async def end(self, slot: Slot) -> None:
        slot.hang_up()
        await self.engine.remove(slot.container)
        slot.happen(Event.REMOVED)
        self.ended.append(slot)


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
async def make(workshop: Workshop) -> AsyncIterator[Callable[..., Pools]]:
    made: list[Pools] = []

    def make_pools(**limits: float) -> Pools:
        wanted = PoolLimits(**{"warm": 0, "containers_max": 4, **limits})
        made.append(Pools(limits=wanted, start=workshop.start, end=workshop.end))
        return made[-1]

    yield make_pools
    for pools in made:
        await pools.close()
    assert not workshop.engine.there


@pytest.fixture
def strict() -> Profile:
    return shipped()["strict"]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.005)


def warm(pools: Pools) -> int:
    return sum(len(pool.ready) for pool in pools.pools)


async def test_after_a_first_use_a_few_are_kept_waiting(
    make: Callable[..., Pools], strict: Profile
) -> None:
    pools = make(warm=2)
    first, was_warm = await pools.take(DIGEST, strict, wait_s=5)
    await until(lambda: warm(pools) == 2)
    _, then_warm = await pools.take(DIGEST, strict, wait_s=5)
    pools.retire(first)
    await until(lambda: warm(pools) == 2)

    assert (was_warm, then_warm) == (False, True)


async def test_nothing_is_started_in_the_moment_in_which_a_call_is_handed_out(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(warm=1)
    await pools.take(DIGEST, strict, wait_s=5)
    await until(lambda: warm(pools) == 1)
    before = workshop.started
    slot, _ = await pools.take(DIGEST, strict, wait_s=5)
    await asyncio.sleep(0.02)
    meanwhile = workshop.started
    pools.retire(slot)
    await until(lambda: warm(pools) == 1)

    assert (before, meanwhile) == (2, 2)


async def test_more_than_there_may_be_wait_and_are_served_in_turn(
    make: Callable[..., Pools], strict: Profile
) -> None:
    pools = make(containers_max=1)
    held, _ = await pools.take(DIGEST, strict, wait_s=5)
    order: list[int] = []

    async def wanting(number: int) -> None:
        slot, _ = await pools.take(DIGEST, strict, wait_s=5)
        order.append(number)
        pools.retire(slot)

    waiting = [asyncio.create_task(wanting(number)) for number in range(5)]
    await asyncio.sleep(0)
    pools.retire(held)
    await asyncio.gather(*waiting)

    assert order == [0, 1, 2, 3, 4]
    await until(lambda: pools.count == 0)


async def test_whoever_waits_too_long_is_told_how_many_there_are(
    make: Callable[..., Pools], strict: Profile
) -> None:
    pools = make(containers_max=1)
    held, _ = await pools.take(DIGEST, strict, wait_s=5)
    with pytest.raises(NoRoom, match="1 of 1"):
        await pools.take(DIGEST, strict, wait_s=0.01)
    pools.retire(held)


async def test_an_idle_container_makes_way_for_another_pool(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(warm=1, containers_max=2)
    slot, _ = await pools.take(DIGEST, strict, wait_s=5)
    await until(lambda: warm(pools) == 1)

    other, _ = await pools.take(OTHER_DIGEST, strict, wait_s=5)

    assert other.order.image == OTHER_DIGEST
    assert [each.order.image for each in workshop.ended] == [DIGEST]
    pools.retire(slot)


async def test_a_container_at_work_never_makes_way(
    make: Callable[..., Pools], strict: Profile
) -> None:
    pools = make(containers_max=2)
    held = [(await pools.take(DIGEST, strict, wait_s=5))[0] for _ in range(2)]
    with pytest.raises(NoRoom):
        await pools.take(OTHER_DIGEST, strict, wait_s=0.05)

    assert [each.state for each in held] == [State.CLAIMED] * 2


async def test_whoever_gives_up_while_waiting_loses_nothing_for_the_next(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make()
    workshop.gate.clear()
    waiting = asyncio.create_task(pools.take(DIGEST, strict, wait_s=5))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    workshop.gate.set()
    await until(lambda: warm(pools) == 1)
    _, was_warm = await pools.take(DIGEST, strict, wait_s=5)

    assert was_warm
    assert workshop.started == 1


async def test_whoever_gives_up_in_the_moment_of_being_served_gives_it_back(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make()
    waiting = asyncio.create_task(pools.take(DIGEST, strict, wait_s=5))
    workshop.once_started = waiting.cancel
    told = await asyncio.gather(waiting, return_exceptions=True)

    assert isinstance(told[0], asyncio.CancelledError)
    assert warm(pools) == 1
    assert not any(pool.busy for pool in pools.pools)


async def test_a_start_that_fails_is_told_to_whoever_waits_and_not_tried_in_vain(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(warm=2)
    workshop.failing = NotReady("It ended.")
    with pytest.raises(NotReady):
        await pools.take(DIGEST, strict, wait_s=5)
    await asyncio.sleep(0.05)
    tried = workshop.most_at_once
    workshop.failing = None
    slot, _ = await pools.take(DIGEST, strict, wait_s=5)

    assert tried <= 3
    assert slot.state is State.CLAIMED


async def test_a_defect_in_starting_reaches_whoever_waits(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    pools = make()
    workshop.failing = ZeroDivisionError("a defect")
    with pytest.raises(ZeroDivisionError):
        await pools.take(DIGEST, strict, wait_s=5)


async def test_only_so_many_start_at_once(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(containers_max=16)
    taken = await asyncio.gather(*(pools.take(DIGEST, strict, wait_s=5) for _ in range(12)))

    assert len({slot.order.name for slot, _ in taken}) == 12
    assert workshop.most_at_once <= 4


async def test_what_is_old_is_replaced_and_what_is_idle_given_up(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(warm=1, recycle_s=0.1, idle_s=0.5)
    slot, _ = await pools.take(DIGEST, strict, wait_s=5)
    pools.retire(slot)
    await until(lambda: warm(pools) == 1)
    old = next(iter(pools.pools)).ready[0]
    await asyncio.sleep(0.12)
    pools.tidy()
    await until(lambda: warm(pools) == 1 and old.state is State.GONE)
    await asyncio.sleep(0.5)
    pools.tidy()
    await until(lambda: not list(pools.pools) and pools.count == 0)

    assert workshop.started == 3


async def test_a_lost_engine_is_told_to_all_who_wait_and_nothing_is_started_until_it_is_back(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(warm=1)
    slot, _ = await pools.take(DIGEST, strict, wait_s=5)
    await until(lambda: warm(pools) == 1)
    workshop.gate.clear()
    waiting = [asyncio.create_task(pools.take(OTHER_DIGEST, strict, wait_s=5)) for _ in range(3)]
    await asyncio.sleep(0)
    pools.refuse(EngineUnavailable("away"))
    told = await asyncio.gather(*waiting, return_exceptions=True)
    pools.retire(slot)
    workshop.gate.set()
    await until(lambda: workshop.at_once == 0)
    before = workshop.started
    pools.resume()
    await until(lambda: workshop.started > before)

    assert [type(each) for each in told] == [EngineUnavailable] * 3


async def test_in_a_burst_nothing_is_removed_or_started_until_the_others_have_their_answers(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(warm=2, containers_max=8)
    first, _ = await pools.take(DIGEST, strict, wait_s=5)
    await until(lambda: warm(pools) == 2)
    pools.retire(first)
    await until(lambda: pools.count == 2)
    one, _ = await pools.take(DIGEST, strict, wait_s=5)
    other, _ = await pools.take(DIGEST, strict, wait_s=5)
    started = workshop.started
    pools.retire(one)
    await asyncio.sleep(0.005)
    meanwhile = (workshop.started, one in workshop.ended, one.usable())
    pools.retire(other)
    await until(lambda: one in workshop.ended and other in workshop.ended and warm(pools) == 2)

    assert meanwhile == (started, False, False)


async def test_a_long_call_holds_up_neither_the_end_of_another_nor_what_is_kept_waiting(
    make: Callable[..., Pools], workshop: Workshop, strict: Profile
) -> None:
    pools = make(warm=1, containers_max=8)
    long, _ = await pools.take(DIGEST, strict, wait_s=5)
    await until(lambda: warm(pools) == 1)
    short, _ = await pools.take(DIGEST, strict, wait_s=5)
    pools.retire(short)
    await until(lambda: short in workshop.ended and warm(pools) == 1)

    assert long.state is State.CLAIMED
