"""Attacks below calls: connections and streams that are opened, half spoken, reset or not read.

They speak HTTP/2 by hand (RFC 9113): no client library would.
"""

import asyncio
import contextlib
import gc
import struct
from collections import Counter
from typing import Any

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.rpc.server import OPTIONS
from broker.v1 import broker_pb2, broker_pb2_grpc
from tests.served import Served

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_HEADERS, ACK = 0x4, 0x1
CANCEL = 8
INVOKE = "/broker.v1.BrokerService/Invoke"
WITHIN_S = 30.0


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
    )


def headers(path: str, token: str) -> bytes:
    """A field block of literals that are not indexed (RFC 7541 §6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "broker",
        "te": "trailers",
        "content-type": "application/grpc",
        "authorization": f"Bearer {token}",
    }
    block = b""
    for name, value in fields.items():
        assert len(value) < 127
        block += b"\x00" + bytes([len(name)]) + name.encode()
        block += bytes([len(value)]) + value.encode()
    return block


class Peer:
    """Somebody who speaks frames."""

    def __init__(self, broker: Served) -> None:
        self.port = broker.port
        self.token = broker.tokens[CredentialClass.AGENT]

    async def open(self, greeting: bytes) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(greeting)

    async def greet(self, settings: bytes = b"") -> None:
        await self.open(PREFACE + frame(SETTINGS, 0, 0, settings))

    def begin(self, stream: int, path: str = INVOKE, *, flags: int = END_HEADERS) -> None:
        self.writer.write(frame(HEADERS, flags, stream, headers(path, self.token)))

    def reset(self, stream: int) -> None:
        self.writer.write(frame(RESET, 0, stream, struct.pack(">I", CANCEL)))

    async def frames(self) -> list[tuple[int, int, bytes]]:
        """What the broker says until it says nothing for a while, or hangs up."""
        found: list[tuple[int, int, bytes]] = []
        while True:
            try:
                async with asyncio.timeout(1.0):
                    head = await self.reader.readexactly(9)
                    body = await self.reader.readexactly(int.from_bytes(head[:3]))
            except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
                return found
            stream = struct.unpack(">I", head[5:])[0]
            found.append((head[3], stream, body))
            if head[3] == SETTINGS and not head[4] & ACK:
                self.writer.write(frame(SETTINGS, ACK, 0))

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def hung_up(broker: Served, *peers: Peer) -> None:
    """All have gone, and the broker has heard of it before it stops."""
    await asyncio.gather(*(peer.close() for peer in peers))
    await served_calls(broker, 20)


async def served_calls(broker: Served, times: int = 3) -> None:
    """Calls of somebody else, which go on."""
    caller = await broker.world.caller()
    for number in range(times):
        request = broker_pb2.InvokeRequest(
            session=caller.session.name,
            session_secret="x",
            request_id=f"h{number}",
            tool="refund",
            arguments_json=b"{}",
        )
        call: Any = broker.broker.Invoke(
            request, metadata=broker.by(CredentialClass.AGENT), timeout=WITHIN_S
        )
        with pytest.raises(Exception, match="no such session"):  # it was heard, and answered
            await call


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"PRI * HT",
        b"GET / HTTP/1.1\r\nHost: broker\r\n",
        PREFACE,
        PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, b"\x00\x05:path")[:-3],
        PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, b"\x00\x05:path\x01/"),
        b"\x16\x03\x01\x02\x00" + b"\x00" * 64,
        bytes(range(256)) * 64,
    ],
    ids=[
        "nothing",
        "half a preface",
        "http 1",
        "preface",
        "half a frame",
        "half a head",
        "tls",
        "x",
    ],
)
async def test_connections_that_are_half_open_keep_nobody_out(broker: Served, said: bytes):
    """Open fifty connections, say half of something on each, and leave them there."""
    peers = [Peer(broker) for _ in range(50)]
    try:
        await asyncio.gather(*(peer.open(said) for peer in peers))
        await served_calls(broker)
    finally:
        await hung_up(broker, *peers)


async def test_hoarded_streams_are_so_many_and_no_more(broker: Served):
    """Begin a thousand calls on one connection, and never say what they are."""
    allowed = dict(OPTIONS)["grpc.max_concurrent_streams"]
    peer = Peer(broker)
    await peer.greet()
    try:
        for number in range(1_000):
            peer.begin(2 * number + 1)
        await peer.writer.drain()
        await served_calls(broker)
        said = await peer.frames()
        refused = {stream for kind, stream, _ in said if kind == RESET}
        gone = any(kind == GOAWAY for kind, _, _ in said) or peer.reader.at_eof()
        assert gone or len(refused) >= 1_000 - allowed
    finally:
        await hung_up(broker, peer)


async def test_streams_that_are_begun_and_reset_cost_the_others_nothing(broker: Served):
    """Begin calls and take them back in one breath, ten thousand times (CVE-2023-44487)."""
    peers = [Peer(broker) for _ in range(4)]
    try:
        for peer in peers:
            await peer.greet()
            for number in range(2_500):
                peer.begin(2 * number + 1)
                peer.reset(2 * number + 1)
        await served_calls(broker)
    finally:
        await hung_up(broker, *peers)


async def test_frames_that_mean_nothing_end_their_connection_alone(broker: Served):
    """Send frames of streams that are not there, too large, or of kinds that there are not."""
    nonsense = [
        frame(DATA, 0, 99, b"x" * 100),
        frame(SETTINGS, 0, 1, b"12345"),
        frame(200, 255, 7, b"?" * 1_000),
        b"\xff\xff\xff" + frame(HEADERS, END_HEADERS, 1)[3:],
        frame(HEADERS, END_HEADERS, 2, b"\xff" * 200),
        frame(GOAWAY, 0, 0, b""),
    ]
    peers = [Peer(broker) for _ in nonsense]
    try:
        for peer, said in zip(peers, nonsense, strict=True):
            await peer.open(PREFACE + frame(SETTINGS, 0, 0) + said)
        await served_calls(broker)
    finally:
        await hung_up(broker, *peers)


@pytest.mark.parametrize("token", ["agent's", "nobody's"])
async def test_what_was_refused_is_not_left_over_of_its_connection(broker: Served, token: str):
    """Have a hundred calls refused on a connection that I share, a gateway's: each is left over
    until the collector comes by, which it never does, as nothing more is taken of the connection.
    """
    alone = [("grpc.use_local_subchannel_pool", 1)]
    known = broker.by(CredentialClass.AGENT)
    by = known if token == "agent's" else (("authorization", "Bearer nobody"),)
    found: Counter[str] = Counter()
    gc.disable()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{broker.port}", alone) as channel:
            stub = broker_pb2_grpc.BrokerServiceStub(channel)
            for _ in range(150):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Invoke(broker_pb2.InvokeRequest(), metadata=by, timeout=WITHIN_S)
                found[refused.value.code().name] += 1
                watch = stub.WatchInvocation(
                    broker_pb2.WatchInvocationRequest(), metadata=by, timeout=WITHIN_S
                )
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await watch.read()
                found[refused.value.code().name] += 1
    finally:
        gc.enable()
    assert found == {"INVALID_ARGUMENT" if by is known else "UNAUTHENTICATED": 300}


async def test_a_connection_that_is_refused_too_fast_is_the_only_one_that_suffers(broker: Served):
    """Send calls that are refused, on one connection, faster than what is left of them is cleared
    away: gRPC refuses streams of it before anything of ours looks at them."""
    alone = [("grpc.use_local_subchannel_pool", 1)]
    found: Counter[str] = Counter()

    async def refused(invoke: Any, times: int) -> None:
        for _ in range(times):
            try:
                await invoke(broker_pb2.InvokeRequest(), metadata=by, timeout=WITHIN_S)
            except grpc.aio.AioRpcError as error:
                found[error.code().name] += 1

    by = broker.by(CredentialClass.AGENT)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{broker.port}", alone) as channel:
        flood = broker_pb2_grpc.BrokerServiceStub(channel).Invoke
        flooding = [asyncio.create_task(refused(flood, 10)) for _ in range(64)]
        await served_calls(broker, 10)  # each of them is answered, at its first try
        await asyncio.gather(*flooding)
        assert set(found) <= {"INVALID_ARGUMENT", "UNAVAILABLE"}
        # And it is over with the flood.
        found.clear()
        async with asyncio.timeout(WITHIN_S):
            while not found["INVALID_ARGUMENT"]:
                await refused(flood, 1)
