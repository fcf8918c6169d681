"""Several brokers have one worker: a stream to each, one lot of slots, each answer to who waits."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from broker.sdk import Worker
from broker.v1 import worker_pb2
from tests.fakes.broker_server import BrokerServer, Connected
from tests.unit.sdk.carrying import answered, connected, handover


@pytest.fixture
async def servers() -> AsyncIterator[list[BrokerServer]]:
    """Three brokers that name each other."""
    async with contextlib.AsyncExitStack() as stack:
        started = [
            await stack.enter_async_context(BrokerServer(name=f"brokers/b-{number}"))
            for number in range(3)
        ]
        for server in started:
            server.live = tuple(started)
        yield started


@pytest.fixture
def worker(servers: list[BrokerServer]) -> Worker:
    return Worker(servers[0].address, "w", slots=2, drain_s=0.05)


async def all_connected(servers: list[BrokerServer]) -> list[Connected]:
    return [await connected(server) for server in servers]


async def load(server: BrokerServer) -> int:
    async with asyncio.timeout(10):
        return await server.loads.get()


async def test_a_worker_told_of_brokers_connects_to_each_once(
    servers: list[BrokerServer], worker: Worker
) -> None:
    @worker.tool("refund")
    async def refund() -> str:
        return "done"

    async with worker.serving():
        streams = await all_connected(servers)
        for server, stream in zip(servers, streams, strict=True):
            await stream.tell(*servers)  # again: nothing new in it
            handed = handover("refund")
            await stream.hand_over(handed)
            assert (await answered(server)).fencing_token == handed.fencing_token
        assert all(server.workers.empty() for server in servers)


async def test_a_broker_that_comes_later_is_connected_to(
    servers: list[BrokerServer], worker: Worker
) -> None:
    for server in servers:
        server.live = (servers[0], servers[1])
    worker.tool("refund")(_nothing)
    async with worker.serving():
        first, second = await all_connected(servers[:2])
        await second.hand_over(handover("refund"))
        await answered(servers[1])  # so that both welcomes were read
        assert servers[2].workers.empty()
        await first.tell(*servers)
        await connected(servers[2])


async def test_slots_are_one_lot_for_all_brokers(
    servers: list[BrokerServer], worker: Worker
) -> None:
    """Six calls come at once from three brokers; never do more than two run."""
    running = most = 0

    @worker.tool("refund")
    async def refund() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1

    async with worker.serving():
        for stream in await all_connected(servers):
            await stream.hand_over(handover("refund"))
            await stream.hand_over(handover("refund"))
        answers = [await answered(server) for server in servers for _ in range(2)]
    assert most == 2
    assert {a.WhichOneof("outcome") for a in answers} == {"result_json"}


async def test_what_finds_no_slot_in_time_is_declined_and_never_begins(
    servers: list[BrokerServer],
) -> None:
    worker = Worker(servers[0].address, "w", slots=2, drain_s=0.05, slot_wait_s=0.05)
    release = asyncio.Event()
    began: list[str] = []

    @worker.tool("refund")
    async def refund(order: str) -> None:
        began.append(order)
        await release.wait()

    async with worker.serving():
        one, other, _ = await all_connected(servers)
        await one.hand_over(handover("refund", '{"order":"first"}'))
        await one.hand_over(handover("refund", '{"order":"second"}'))
        await load(servers[1])
        await other.hand_over(handover("refund", '{"order":"third"}'))
        assert (await answered(servers[1])).WhichOneof("outcome") == "declined"
        release.set()
        await answered(servers[0])
        await answered(servers[0])
    assert began == ["first", "second"]


async def test_each_broker_hears_what_the_calls_of_the_others_take(
    servers: list[BrokerServer], worker: Worker
) -> None:
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> None:
        await release.wait()

    async with worker.serving():
        one, _, _ = await all_connected(servers)
        await one.hand_over(handover("refund"))
        assert (await load(servers[1]), await load(servers[2])) == (1, 1)
        release.set()
        assert (await load(servers[1]), await load(servers[2])) == (0, 0)
        assert servers[0].loads.empty()


async def test_an_answer_waits_for_the_broker_that_waits_for_it(
    servers: list[BrokerServer], worker: Worker
) -> None:
    """A stream breaks while a call runs: another broker could do nothing with the answer."""
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> str:
        await release.wait()
        return "done"

    async with worker.serving():
        streams = await all_connected(servers)
        handed = handover("refund")
        await streams[1].hand_over(handed)
        await load(servers[0])  # so that it runs
        await servers[1].stop()
        release.set()
        await load(servers[0])  # so that it has ended
        await servers[1].start()
        assert (await answered(servers[1])).fencing_token == handed.fencing_token
        assert servers[0].answers.empty()
        assert servers[2].answers.empty()


async def test_an_answer_to_a_broker_that_is_gone_is_given_to_another(
    servers: list[BrokerServer], worker: Worker
) -> None:
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> str:
        await release.wait()
        return "done"

    async with worker.serving():
        streams = await all_connected(servers)
        handed = handover("refund")
        await streams[1].hand_over(handed)
        await load(servers[0])
        await servers[1].stop()
        release.set()
        await load(servers[0])
        await streams[0].tell(servers[0], servers[2])
        assert (await answered(servers[0])).fencing_token == handed.fencing_token


async def test_the_last_broker_hears_that_a_slot_of_those_that_are_gone_is_free(
    servers: list[BrokerServer], worker: Worker
) -> None:
    """Else it would never again hand over as many calls as the worker has slots."""
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> None:
        await release.wait()

    async with worker.serving():
        first, second, _ = await all_connected(servers)
        await second.hand_over(handover("refund"))
        assert await load(servers[0]) == 1
        await servers[1].stop()
        await servers[2].stop()
        await first.tell(servers[0])
        await first.hand_over(handover("refund"))  # so that it has heard of them
        release.set()
        await answered(servers[0])
        assert await load(servers[0]) == 0


async def test_a_worker_lives_on_without_the_broker_that_it_was_given(
    servers: list[BrokerServer], worker: Worker
) -> None:
    @worker.tool("refund")
    async def refund() -> str:
        return "done"

    async with worker.serving():
        _, second, _ = await all_connected(servers)
        await servers[0].stop()
        await second.tell(*servers[1:])
        await second.hand_over(handover("refund"))
        assert (await answered(servers[1])).WhichOneof("outcome") == "result_json"


async def test_a_broker_that_began_anew_at_its_address_gets_one_stream(
    servers: list[BrokerServer], worker: Worker
) -> None:
    worker.tool("refund")(_nothing)
    async with worker.serving():
        first, _, _ = await all_connected(servers)
        await servers[1].stop()
        servers[1].name = "brokers/b-anew"
        await servers[1].start()
        again = await connected(servers[1])
        await first.tell(*servers)
        await again.hand_over(handover("refund"))
        await answered(servers[1])
        assert servers[1].workers.empty()


@pytest.mark.parametrize("anew", [0, 1], ids=["given", "told"])
async def test_a_broker_gets_one_stream_while_the_one_killed_there_counts_as_living(
    servers: list[BrokerServer], worker: Worker, anew: int
) -> None:
    """Else the worker connects to it again and again, until the others miss the one that died."""
    worker.tool("refund")(_nothing)
    killed = BrokerServer(name=servers[anew].name)
    killed.port = servers[anew].port
    async with worker.serving():
        streams = await all_connected(servers)
        await servers[anew].stop()
        servers[anew].name = "brokers/b-anew"
        for server in servers:
            server.live = (killed, *servers)
        await servers[anew].start()
        streams[anew] = await connected(servers[anew])
        await streams[2].tell(killed, *servers)
        for server, stream in [*zip(servers, streams, strict=True)] * 5:
            await stream.hand_over(handover("refund"))
            await answered(server)
        assert all(server.workers.empty() for server in servers)


async def test_a_worker_that_stops_tells_every_broker_and_those_that_come_then(
    servers: list[BrokerServer],
) -> None:
    worker = Worker(servers[0].address, "w", slots=2, drain_s=5.0)
    for server in servers:
        server.live = (servers[0], servers[1])
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> None:
        await release.wait()

    async with worker.serving():
        first, _ = await all_connected(servers[:2])
        await first.hand_over(handover("refund"))
        await load(servers[1])
        stopping = asyncio.create_task(worker.stop())
        async with asyncio.timeout(10):
            await servers[0].drained.wait()
            await servers[1].drained.wait()
            await first.tell(*servers)
            await servers[2].drained.wait()
        release.set()
        await stopping


async def test_no_token_goes_to_another_machine_in_the_clear(
    servers: list[BrokerServer], worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever could write a broker's address into the database would get workers' tokens."""
    worker.tool("refund")(_nothing)
    caplog.set_level(logging.WARNING, logger="callbroker.worker")
    async with worker.serving():
        first, _, _ = await all_connected(servers)
        stranger = worker_pb2.BrokerAddress(broker="brokers/evil", address="192.0.2.1:7400")
        message = worker_pb2.LiveBrokers(brokers=[stranger])
        async with first.writing:
            await first.context.write(worker_pb2.ConnectResponse(brokers=message))
        await first.hand_over(handover("refund"))
        await answered(servers[0])
    assert "no token goes there" in caplog.text


async def _nothing() -> None:
    pass
