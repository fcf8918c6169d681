"""A call is handed to a worker, and its answer awaited, with a deadline."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

from broker.sdk import Worker
from broker.v1 import worker_pb2
from tests.fakes.broker_server import BrokerServer, Connected

numbers = count(1)


def handover(tool: str, arguments: str = "{}", *, deadline_s: float = 10.0) -> worker_pb2.Handover:
    number = next(numbers)
    message = worker_pb2.Handover(
        invocation=f"invocations/i-{number}",
        fencing_token=f"token-{number}",
        tool=tool,
        arguments_json=arguments.encode(),
        principal="customers/c-204",
        principal_groups=["customers"],
        agent="agents/support",
        session="sessions/s-1",
        attempt=1,
    )
    message.deadline.FromDatetime(datetime.now(UTC) + timedelta(seconds=deadline_s))  # noqa: TID251
    return message


async def connected(server: BrokerServer) -> Connected:
    async with asyncio.timeout(10):
        return await server.workers.get()


async def answered(server: BrokerServer) -> worker_pb2.WorkerAnswer:
    async with asyncio.timeout(10):
        return await server.answers.get()


async def carried(
    server: BrokerServer, worker: Worker, handed: worker_pb2.Handover
) -> worker_pb2.WorkerAnswer:
    async with worker.serving():
        await (await connected(server)).hand_over(handed)
        answer = await answered(server)
    assert (answer.invocation, answer.fencing_token) == (handed.invocation, handed.fencing_token)
    return answer
