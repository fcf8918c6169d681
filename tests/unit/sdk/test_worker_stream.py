"""No call runs twice and no answer is lost, whatever becomes of the stream or the worker."""

import asyncio
import os
import signal

import grpc
import pytest

from broker.sdk import Unauthenticated, Unavailable, Worker, WorkerRefused
from broker.v1 import worker_pb2
from tests.fakes.broker_server import BrokerServer, Fault
from tests.unit.sdk.carrying import answered, connected, handover


async def test_a_second_delivery_does_not_run_twice(server: BrokerServer, worker: Worker) -> None:
    """The broker sends a call again because it cannot know whether the first one arrived."""
    runs = 0
    release = asyncio.Event()
    server.is_acknowledging = False

    @worker.tool("refund")
    async def refund() -> int:
        nonlocal runs
        runs += 1
        await release.wait()
        return runs

    handed = handover("refund")
    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handed)
        await stream.hand_over(handed)  # while it runs
        await stream.hand_over(handover("other"))  # its answer shows that the second was read
        await stream.acknowledge(await answered(server))
        release.set()
        first = await answered(server)
        await stream.hand_over(handed)  # after it has ended
        assert await answered(server) == first
        await stream.acknowledge(first)
        await stream.hand_over(handed)  # after the broker has the answer
        again = handover("refund")
        await stream.hand_over(again)
        assert (await answered(server)).fencing_token == again.fencing_token
        await stream.acknowledge(worker_pb2.WorkerAnswer(fencing_token=again.fencing_token))
    assert first.result_json == b"1"
    assert runs == 2


async def test_an_answer_outlives_its_stream(server: BrokerServer, worker: Worker) -> None:
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> str:
        await release.wait()
        return "done"

    handed = handover("refund")
    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handed)
        await stream.hand_over(handover("other"))
        await answered(server)  # so that the first has arrived
        await server.stop()
        release.set()
        await server.start()
        answer = await answered(server)
        assert (answer.fencing_token, answer.result_json) == (handed.fencing_token, b'"done"')


async def test_an_answer_is_sent_until_it_is_acknowledged(
    server: BrokerServer, worker: Worker
) -> None:
    server.is_acknowledging = False

    @worker.tool("refund")
    async def refund() -> str:
        return "done"

    handed = handover("refund")
    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handed)
        first = await answered(server)
        stream.ended.set()
        stream = await connected(server)
        assert await answered(server) == first
        await stream.acknowledge(first)
        server.is_acknowledging = True
        await stream.hand_over(handover("refund"))
        await answered(server)
        stream.ended.set()
        await connected(server)
        assert server.answers.empty()


async def test_more_than_its_slots_is_not_started(server: BrokerServer, worker: Worker) -> None:
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> None:
        await release.wait()

    async with worker.serving():
        stream = await connected(server)
        for _ in range(3):
            await stream.hand_over(handover("refund"))
        assert "slot" in (await answered(server)).not_started
        release.set()


async def test_a_stopping_worker_lets_go_of_what_does_not_end(
    server: BrokerServer, worker: Worker
) -> None:
    @worker.tool("refund")
    async def refund() -> None:
        await asyncio.Event().wait()

    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handover("refund"))
        await stream.hand_over(handover("other"))
        await answered(server)
    assert server.drained.is_set()
    assert "stopped" in (await answered(server)).unknown


async def test_a_stopping_worker_ends_what_it_has_and_what_was_on_its_way(
    server: BrokerServer,
) -> None:
    release = asyncio.Event()
    worker = Worker(server.address, "w")

    @worker.tool("refund")
    async def refund() -> None:
        await release.wait()

    await worker.start()
    stream = await connected(server)
    await stream.hand_over(handover("refund"))
    stopping = asyncio.create_task(worker.stop())
    async with asyncio.timeout(10):
        await server.drained.wait()
    await stream.hand_over(handover("refund"))
    release.set()
    assert (await answered(server)).result_json == b"null"
    assert (await answered(server)).result_json == b"null"
    await stopping


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (
            grpc.StatusCode.UNAUTHENTICATED,
            r"asked at 127\.0\.0\.1:\d+ .*callbroker token create worker",
        ),
        (grpc.StatusCode.PERMISSION_DENIED, "names these tools: refund"),
        (grpc.StatusCode.FAILED_PRECONDITION, "functions and manifests agree"),
    ],
)
async def test_a_refused_hello_says_what_to_change(
    server: BrokerServer, worker: Worker, code: grpc.StatusCode, hint: str
) -> None:
    worker.tool("refund")(lambda: None)
    server.hello_fault = Fault(code=code, details="refund: the manifest wants order_id.")
    with pytest.raises(WorkerRefused, match=hint) as refused:
        await worker.start()
    assert "the manifest wants order_id." in str(refused.value)


async def test_a_broker_that_is_away_is_waited_for(server: BrokerServer, worker: Worker) -> None:
    worker.tool("refund")(lambda: None)
    await server.stop()
    with pytest.raises(Unavailable):
        await worker.start(timeout_s=0.2)
    starting = asyncio.create_task(worker.start())
    await server.start()
    async with asyncio.timeout(10):
        await starting
    await worker.stop()


async def test_a_worker_serves_once_at_a_time(server: BrokerServer, worker: Worker) -> None:
    worker.tool("refund")(lambda: None)
    for _ in range(2):
        async with worker.serving():
            await connected(server)
            with pytest.raises(RuntimeError, match="already"):
                await worker.start()


async def test_a_missing_token_ends_the_start(
    server: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBROKER_WORKER_TOKEN", raising=False)
    worker = Worker(server.address)
    worker.tool("refund")(lambda: None)
    with pytest.raises(Unauthenticated, match="CALLBROKER_WORKER_TOKEN"):
        await worker.start()


async def test_run_ends_with_a_signal(server: BrokerServer, worker: Worker) -> None:
    worker.tool("refund")(lambda: None)
    running = asyncio.create_task(worker._run())
    await (await connected(server)).hand_over(handover("other"))
    await answered(server)  # so that it has seen the welcome
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await running
    assert server.drained.is_set()


async def test_run_ends_when_the_broker_no_longer_takes_the_worker(
    server: BrokerServer, worker: Worker
) -> None:
    worker.tool("refund")(lambda: None)
    running = asyncio.create_task(worker._run())
    stream = await connected(server)
    server.hello_fault = Fault(code=grpc.StatusCode.PERMISSION_DENIED, details="Revoked.")
    stream.ended.set()
    with pytest.raises(WorkerRefused, match="Revoked"):
        async with asyncio.timeout(10):
            await running


def test_run_ends_a_process_with_the_sentence_that_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CALLBROKER_WORKER_TOKEN", raising=False)
    worker = Worker("127.0.0.1:1")
    worker.tool("refund")(lambda: None)
    with pytest.raises(SystemExit, match=r"^There is no worker token: .* makes one\.$"):
        worker.run()


def test_a_worker_without_a_tool_says_so_before_it_connects() -> None:
    with pytest.raises(SystemExit, match=r"^This worker has no tool: put @worker\.tool\("):
        Worker("127.0.0.1:1", "w").run()


def test_a_worker_says_what_an_address_is_that_is_none() -> None:
    worker = Worker("http://127.0.0.1:7500", "w")
    worker.tool("refund")(lambda: None)
    with pytest.raises(SystemExit, match=r"is no address: host:port, such as 127\.0\.0\.1:7400"):
        worker.run()
