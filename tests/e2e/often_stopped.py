"""Strangers who open connections and say nothing, or half of something, while a server stops.

As a program it has a gRPC server of its own, with the broker's options, stop among them as often as
it is told, each time before they have run out of time, and says how often it did.
"""
# ruff: noqa: T201 - what it says is read by a test

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Iterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from broker.rpc.server import OPTIONS
from tests.attacks.test_connections import HEADERS, INVOKE, PREFACE, SETTINGS, frame, headers

WITHIN_S = 120.0
GRACE_S = 0.3
SILENT = 50
ABORTED = 200
SAID = (
    b"",
    PREFACE[:9],
    PREFACE + frame(SETTINGS, 0, 0),
    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, headers(INVOKE, "nonsense")),
)


@contextlib.contextmanager
def strangers(where: tuple[str, int]) -> Iterator[None]:
    """Most have aborted, some are still there, and all of them have been let in."""
    with contextlib.ExitStack() as stack:
        for number in range(ABORTED):
            _connected(where, SAID[number % len(SAID)]).close()
        for number in range(SILENT):
            stack.enter_context(_connected(where, SAID[number % 2]))
        _answered(where)  # whoever came before was let in before
        yield


def _connected(where: tuple[str, int], said: bytes) -> socket.socket:
    """Somebody who says this and no more; closing aborts the connection (RFC 9293, RST)."""
    made = socket.create_connection(where, WITHIN_S)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(ConnectionError):
        made.sendall(said)
    return made


def _answered(where: tuple[str, int]) -> None:
    """Somebody else asks, and is answered."""
    with grpc.insecure_channel(f"{where[0]}:{where[1]}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        check(health_pb2.HealthCheckRequest(), timeout=WITHIN_S, wait_for_ready=True)


async def _stops(often: int) -> None:
    for _ in range(often):
        server = grpc.aio.server(options=OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
        where = ("127.0.0.1", server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, strangers(where))
            await server.stop(GRACE_S)


if __name__ == "__main__":
    stops = int(sys.argv[1])
    asyncio.run(_stops(stops))
    print(f"{stops} stops")
