"""An agent that keeps 64 calls in flight, in a process of its own, for as long as it is let."""

import asyncio
import contextlib
import itertools
import os

import grpc

from broker.v1 import broker_pb2, broker_pb2_grpc

IN_FLIGHT = 64
DEADLINE_S = 30.0
GOOD = b'{"text":"Hello."}'


async def main() -> None:
    """Ask, whatever is answered, and ask again."""
    tool = os.environ["FLOOD_TOOL"]
    bodies = (
        (tool, GOOD),
        (tool, b'{"text":'),
        (tool, b'{"text":"x","more":"' + b"y" * 200_000 + b'"}'),
        ("no_such_tool", GOOD),
    )
    numbers = itertools.count()
    metadata = (("authorization", f"Bearer {os.environ['FLOOD_TOKEN']}"),)
    async with grpc.aio.insecure_channel(os.environ["FLOOD_ADDRESS"]) as channel:
        invoke = broker_pb2_grpc.BrokerServiceStub(channel).Invoke

        async def one() -> None:
            while True:
                number = next(numbers)
                name, arguments = bodies[number % len(bodies)]
                request = broker_pb2.InvokeRequest(
                    session=os.environ["FLOOD_SESSION"],
                    session_secret=os.environ["FLOOD_SECRET"],
                    request_id=f"flood-{os.getpid()}-{number}",
                    tool=name,
                    arguments_json=arguments,
                )
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await invoke(request, metadata=metadata, timeout=DEADLINE_S)

        await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    asyncio.run(main())
