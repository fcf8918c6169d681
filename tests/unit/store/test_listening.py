"""Names travel between brokers over a real server, and nothing hangs on it that they arrive."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from broker.events import RESYNC, Events
from broker.store.listening import ALIVE_S, CHANNEL, Listening
from tests.between import Between, between
from tests.postgres import server


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with server().database() as name:
        yield name


@contextlib.asynccontextmanager
async def heard_by(
    database: str, broker: str, *, is_on: bool = True, by_way_of: Between | None = None
) -> AsyncIterator[Events]:
    """The events of a broker that listens."""
    events = Events()
    listening = Listening(
        (by_way_of or server()).url(database),
        broker=broker,
        hear=events.deliver,
        resync=events.resync,
        is_on=is_on,
    )
    events.relay = listening
    running = asyncio.create_task(listening.run())
    try:
        async with asyncio.timeout(20):
            while is_on and not listening.is_listening and by_way_of is None:
                await asyncio.sleep(0.01)
        yield events
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_what_one_tells_the_other_hears_and_it_itself_once(database: str) -> None:
    async with heard_by(database, "brokers/1") as one, heard_by(database, "brokers/2") as two:
        with one.subscribe("hold") as own, two.subscribe("hold") as others:
            one.publish("hold", "holds/1")
            assert await others.next(10) == "holds/1"
            two.publish("hold", "holds/2")
            assert [await own.next(10), await own.next(10)] == ["holds/1", "holds/2"]
            assert await others.next(0.2) == "holds/2"


async def test_many_names_at_once_all_arrive(database: str) -> None:
    async with heard_by(database, "brokers/1") as one, heard_by(database, "brokers/2") as two:
        with two.subscribe("invocation") as others:
            told = [f"invocations/{number:0100}" for number in range(500)]
            for name in told:
                one.publish("invocation", name)
            assert [await others.next(10) for _ in told] == told


async def test_a_connection_that_was_cut_is_made_again_and_everything_read_again(
    database: str,
) -> None:
    async with heard_by(database, "brokers/1") as one, heard_by(database, "brokers/2") as two:
        with two.subscribe("hold", "holds/1") as others:
            await asyncio.to_thread(
                server().run,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{database}' AND pid <> pg_backend_pid()",
            )
            assert await others.next(10) == RESYNC
            async with asyncio.timeout(20):
                while not (two.relay.is_listening and one.relay.is_listening):  # type: ignore[union-attr]
                    await asyncio.sleep(0.05)
            while await others.next(0.1) is not None:
                pass
            async with asyncio.timeout(20):
                one.publish("hold", "holds/1")
                name = await others.next(20)
            assert name in {"holds/1", RESYNC}


async def test_without_listening_everything_is_read_again_each_second(database: str) -> None:
    async with heard_by(database, "brokers/1", is_on=False) as one:
        with one.subscribe("key", "x") as changes:
            assert await changes.next(5) == RESYNC
            assert await changes.next(5) == RESYNC


@pytest.mark.parametrize("how", ["keeps_notices", "cuts_listeners"])
async def test_whoever_hears_not_even_itself_reads_everything_again_each_second(
    database: str, how: str
) -> None:
    """Stand between broker and database, answer whatever it asks, and pass on no word."""
    with between(server()) as way:
        setattr(way, how, True)
        async with (
            heard_by(database, "brokers/1", by_way_of=way) as one,
            heard_by(database, "brokers/2") as two,
        ):
            with one.subscribe("hold", "holds/1") as changes:
                two.publish("hold", "holds/1")
                for _ in range(8):  # longer than it takes to find out
                    assert await changes.next(3) == RESYNC
                assert not one.relay.is_listening  # type: ignore[union-attr]
                assert way.kept or way.cut
                setattr(way, how, False)
                async with asyncio.timeout(20):
                    while not one.relay.is_listening:  # type: ignore[union-attr]
                        await asyncio.sleep(0.05)
                while await changes.next(0.2) is not None:
                    pass
                two.publish("hold", "holds/1")
                assert await changes.next(10) == "holds/1"


async def test_whoever_hears_no_more_finds_that_out(database: str) -> None:
    """Let a broker listen, and then keep from it what others tell."""
    with between(server()) as way:
        async with (
            heard_by(database, "brokers/1", by_way_of=way) as one,
            heard_by(database, "brokers/2") as two,
        ):
            async with asyncio.timeout(20):
                while not one.relay.is_listening:  # type: ignore[union-attr]
                    await asyncio.sleep(0.05)
            way.keeps_notices = True
            with one.subscribe("hold", "holds/1") as changes:
                two.publish("hold", "holds/1")
                assert await changes.next(3 * ALIVE_S) == RESYNC


async def test_whoever_writes_to_the_channel_can_do_no_more_than_wake_readers(
    database: str,
) -> None:
    """Send brokers what is no name of a topic, and a name that is far too long."""
    async with heard_by(database, "brokers/1") as one:
        with one.subscribe("hold") as changes:
            for payload in (
                "",
                "not json",
                "7",
                "[]",
                '["x", 7, null, ["hold"], ["hold", 7], ["secrets", "a"]]',
                f'["x", ["hold", "{"h" * 300}"]]',
                '["x", ["hold", "holds/9"]]',
            ):
                await asyncio.to_thread(
                    server().run, f"SELECT pg_notify('{CHANNEL}', '{payload}')", database=database
                )
            assert await changes.next(10) == "holds/9"
