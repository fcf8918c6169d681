"""Events say that something changed; a slow listener learns that it lost some."""

import asyncio

from broker.events import RESYNC, Events


async def test_a_subscriber_is_told_the_names_of_its_topic_in_order():
    events = Events()
    with events.subscribe("invocation") as names:
        events.publish("invocation", "invocations/1")
        events.publish("hold", "holds/1")
        events.publish("invocation", "invocations/2")
        assert [await names.next(1), await names.next(1)] == ["invocations/1", "invocations/2"]
        assert await names.next(0.01) is None


async def test_a_subscriber_of_one_name_is_told_of_no_other():
    events = Events()
    with events.subscribe("hold", "holds/1") as names:
        events.publish("hold", "holds/2")
        events.publish("hold", "holds/1")
        assert await names.next(1) == "holds/1"
        assert await names.next(0.01) is None


async def test_a_name_that_waits_already_is_queued_once():
    events = Events()
    with events.subscribe("key") as names:
        for _ in range(10):
            events.publish("key", "order_id=1")
        assert await names.next(1) == "order_id=1"
        assert await names.next(0.01) is None
        events.publish("key", "order_id=1")
        assert await names.next(1) == "order_id=1"


async def test_a_subscriber_that_lags_behind_finds_one_resync_in_place_of_what_it_lost():
    events = Events(names_max=3)
    with events.subscribe("hold") as names:
        for number in range(5):
            events.publish("hold", f"holds/{number}")
        assert [await names.next(1), await names.next(1)] == [RESYNC, "holds/4"]
        assert await names.next(0.01) is None


async def test_waiting_ends_with_the_publication_or_with_its_time():
    events = Events()
    waiting = asyncio.create_task(events.wait("control", "control", 5))
    await asyncio.sleep(0)
    events.publish("control", "control")
    assert await waiting
    assert not await events.wait("control", "control", 0.01)


async def test_leaving_the_block_ends_the_iteration_and_leaves_nothing_behind():
    events = Events()
    seen: list[str] = []

    async def follow() -> None:
        async for name in names:
            seen.append(name)  # noqa: PERF401 - a comprehension would hide where it stands

    with events.subscribe("hold") as names:
        following = asyncio.create_task(follow())
        events.publish("hold", "holds/1")
        await asyncio.sleep(0)
    await following
    assert seen == ["holds/1"]
    assert events._subscriptions == {}
