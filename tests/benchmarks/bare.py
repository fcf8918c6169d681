"""Servers and a worker that do nothing, so that what gRPC itself costs is known beside ours.

    python -m tests.benchmarks.bare server PORT ANSWER    Invoke answers with the bytes of a file
    python -m tests.benchmarks.bare worker PORT

`Invoke` with the request id `hop…` goes to the worker and back before it is answered. Messages are
the broker's own, loop and grpcio too; nothing is looked at, decided or kept.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from broker.v1 import broker_pb2, broker_pb2_grpc, worker_pb2, worker_pb2_grpc
from tests.benchmarks.processors import run

HOP = "hop"
SESSION = f"sessions/{'0' * 36}"


class Bare(broker_pb2_grpc.BrokerServiceServicer, worker_pb2_grpc.WorkerServiceServicer):
    """Both services, of which only these methods do anything."""

    def __init__(self, answer: bytes) -> None:
        self._answer = broker_pb2.InvokeResponse.FromString(answer)
        self._down: asyncio.Queue[worker_pb2.ConnectResponse] = asyncio.Queue()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def Invoke(  # noqa: N802 - as in the .proto
        self, request: broker_pb2.InvokeRequest, context: Any
    ) -> broker_pb2.InvokeResponse:
        del context
        if request.request_id.startswith(HOP):
            token = request.request_id
            answered = self._waiting[token] = asyncio.get_running_loop().create_future()
            handover = worker_pb2.Handover(
                invocation=f"invocations/{'0' * 36}",
                fencing_token=token,
                tool=request.tool,
                tool_revision=f"sha256:{'0' * 64}",
                arguments_json=request.arguments_json,
                digest=f"sha256:{'0' * 64}",
                principal="customers/bench",
                agent="agents/bench",
                session=SESSION,
                attempt=1,
            )
            await self._down.put(worker_pb2.ConnectResponse(handover=handover))
            await answered
        return self._answer

    async def Connect(  # noqa: N802 - as in the .proto
        self, request_iterator: AsyncIterator[worker_pb2.ConnectRequest], context: Any
    ) -> None:
        async def hear() -> None:
            async for said in request_iterator:
                if said.WhichOneof("message") == "answer":
                    self._waiting.pop(said.answer.fencing_token).set_result(None)

        hearing = asyncio.create_task(hear())
        try:
            while True:
                await context.write(await self._down.get())
        finally:
            hearing.cancel()


async def serve(port: int, answer: bytes) -> None:
    """Until it is ended."""
    server = grpc.aio.server()
    bare = Bare(answer)
    broker_pb2_grpc.add_BrokerServiceServicer_to_server(bare, server)
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(bare, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def work(port: int) -> None:
    """Until it is ended."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = worker_pb2_grpc.WorkerServiceStub(channel).Connect(wait_for_ready=True)
        await stream.write(worker_pb2.ConnectRequest(hello=worker_pb2.WorkerHello(slots=64)))
        async for said in stream:
            answer = worker_pb2.WorkerAnswer(
                invocation=said.handover.invocation,
                fencing_token=said.handover.fencing_token,
                result_json=said.handover.arguments_json,
            )
            await stream.write(worker_pb2.ConnectRequest(answer=answer))


if __name__ == "__main__":
    if sys.argv[1] == "server":
        run(serve(int(sys.argv[2]), Path(sys.argv[3]).read_bytes()))
    else:
        run(work(int(sys.argv[2])))
