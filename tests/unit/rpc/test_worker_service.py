"""A worker is taken for what it offers and may carry, over a real server."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.v1 import admin_pb2, worker_pb2
from tests.served import Served
from tests.world import REFUND

WORKER, OPERATOR = CredentialClass.WORKER, CredentialClass.OPERATOR


def hello(*, slots: int = 2, tools: tuple[str, ...] = ("refund",)) -> worker_pb2.ConnectRequest:
    return worker_pb2.ConnectRequest(
        hello=worker_pb2.WorkerHello(
            slots=slots,
            tools=[
                worker_pb2.ToolOffer(
                    name=name, parameters_schema_json=json.dumps(REFUND["arguments"]).encode()
                )
                for name in tools
            ],
        )
    )


class Wire:
    """A worker's end of the stream."""

    def __init__(self, broker: Served, token: str = "") -> None:
        self._said: asyncio.Queue[worker_pb2.ConnectRequest | None] = asyncio.Queue()
        metadata = (("authorization", f"Bearer {token}"),) if token else broker.by(WORKER)
        self._call = broker.worker.Connect(self._requests(), metadata=metadata)
        self._heard = aiter(self._call)

    async def _requests(self) -> AsyncIterator[worker_pb2.ConnectRequest]:
        while (request := await self._said.get()) is not None:
            yield request

    def say(self, request: worker_pb2.ConnectRequest | None) -> None:
        self._said.put_nowait(request)

    async def hear(self) -> worker_pb2.ConnectResponse:
        async with asyncio.timeout(5):
            return await anext(self._heard)

    async def failure(self) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.hear()
        return failed.value

    def close(self) -> None:
        self._call.cancel()


@contextlib.asynccontextmanager
async def connected(broker: Served):
    wire = Wire(broker)
    wire.say(hello())
    welcome = await wire.hear()
    assert welcome.welcome.broker == "brokers/1"
    try:
        yield wire
    finally:
        wire.close()


async def test_a_worker_is_welcomed_counted_and_gone_when_it_has_said_all(broker):
    async with connected(broker) as wire:
        status = await broker.admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=broker.by(OPERATOR)
        )
        assert [(w.tools, w.free, w.slots) for w in status.workers] == [(["refund"], 2, 2)]
        wire.say(worker_pb2.ConnectRequest(draining=worker_pb2.WorkerDraining()))
        wire.say(None)
        with pytest.raises(StopAsyncIteration):
            await wire.hear()
    assert broker.workers.connections == ()


async def test_an_answer_that_nobody_waits_for_is_acknowledged_and_kept_as_evidence(broker):
    async with connected(broker) as wire:
        wire.say(
            worker_pb2.ConnectRequest(
                answer=worker_pb2.WorkerAnswer(
                    invocation="invocations/x", fencing_token="old", result_json=b"{}"
                )
            )
        )
        told = await wire.hear()
    assert told.acknowledged.fencing_token == "old"


@pytest.mark.parametrize(
    "first",
    [
        worker_pb2.ConnectRequest(),
        worker_pb2.ConnectRequest(draining=worker_pb2.WorkerDraining()),
        hello(slots=0),
        hello(slots=1_001),
        hello(tools=()),
        hello(tools=("refund", "refund")),
        worker_pb2.ConnectRequest(
            hello=worker_pb2.WorkerHello(
                slots=1, tools=[worker_pb2.ToolOffer(name="refund", parameters_schema_json=b"{")]
            )
        ),
    ],
)
async def test_a_worker_that_does_not_say_hello_properly_is_sent_away(broker, first):
    wire = Wire(broker)
    wire.say(first)
    assert (await wire.failure()).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_worker_for_somebody_elses_tool_is_not_permitted(broker):
    wire = Wire(broker)
    wire.say(hello(tools=("refund", "delete_all")))
    assert (await wire.failure()).code() is grpc.StatusCode.PERMISSION_DENIED
