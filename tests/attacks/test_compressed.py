"""A few compressed bytes that become gigabytes, in a message: gRPC unpacks before it measures.

Nothing of ours takes what is compressed, so that a message is never larger than what was sent.
"""

import asyncio
import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.sandbox_nodes.node import OPTIONS
from sandboxes.v1 import sandboxes_pb2 as pb
from sandboxes.v1 import sandboxes_pb2_grpc
from tests.attacks.test_connections import ACK, DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, frame
from tests.sandbox_nodes import settled
from tests.served import Served, bearer

WITHIN_S = 30.0
BLOWN_UP = bytes(48 * 1024 * 1024)
"""More than any message may have; on the wire 48 KiB. It need not be a message to be unpacked."""
INVOKE = "/broker.v1.BrokerService/Invoke"
CHECK_HEALTH = "/sandboxes.v1.SandboxService/CheckHealth"
WAYS = [
    ("nobody", "/grpc.health.v1.Health/Check"),
    ("nobody", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
    ("nobody", INVOKE),
    (CredentialClass.AGENT, INVOKE),
    (CredentialClass.AGENT, "/broker.v1.BrokerService/CreateArtefact"),
    (CredentialClass.WORKER, "/broker.v1.WorkerService/Connect"),
    (CredentialClass.HOST, "/broker.v1.HostService/CreateMandate"),
]


async def refusal(address: str, path: str, metadata: tuple[tuple[str, str], ...] = (), **how):
    """The status that a compressed message has."""
    options = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(address, options, **how) as channel:
        say = channel.unary_unary(path)  # one message and no more, whatever the method takes
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await say(BLOWN_UP, metadata=metadata, timeout=WITHIN_S)
        return refused.value.code()


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=str)
@pytest.mark.parametrize(("who", "path"), WAYS, ids=str)
async def test_the_broker_unpacks_nothing(
    broker: Served, who: CredentialClass | str, path: str, how: grpc.Compression
):
    """Send sixteen megabytes that become sixteen gigabytes: as an agent, a worker or a host, or as
    nobody, since anybody may ask how the broker is."""
    by = bearer("nobody") if isinstance(who, str) else broker.by(who)
    code = await refusal(f"127.0.0.1:{broker.port}", path, by, compression=how)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert await broker.channel.unary_unary("/grpc.health.v1.Health/Check")(b"")


async def test_a_node_unpacks_nothing():
    """The same to a node, by whoever may speak to it."""
    with TemporaryDirectory(prefix="cb-") as directory:
        async with settled("unix:///nowhere/engine.sock", Path(directory) / "state") as address:
            code = await refusal(address, CHECK_HEALTH, compression=grpc.Compression.Gzip)
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_the_broker_unpacks_nothing_of_a_nodes():
    """Take a node over, and answer its broker's first question like that."""
    packed = await asyncio.to_thread(_packed, BLOWN_UP)
    assert len(packed) < 65_535  # what may be sent of an answer before any of it is taken
    heard, hung_up = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
        stream = await _asked(reader)
        writer.write(frame(HEADERS, END_HEADERS, stream, _answering()))
        for at in range(0, len(packed), 16_000):
            writer.write(frame(DATA, 0, stream, packed[at : at + 16_000]))
        await heard.wait()
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        node = sandboxes_pb2_grpc.SandboxServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await node.CheckHealth(pb.CheckHealthRequest(), timeout=WITHIN_S)
        heard.set()
        await hung_up.wait()
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _packed(message: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = packing.compress(message) + packing.flush()
    return b"\1" + struct.pack(">I", len(packed)) + packed


def _answering() -> bytes:
    """Fields of an answer: status 200 by its index, and two literals (RFC 7541 §6)."""
    fields = ((b"content-type", b"application/grpc"), (b"grpc-encoding", b"gzip"))
    return b"\x88" + b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields
    )


async def _asked(reader: asyncio.StreamReader) -> int:
    """The stream of the first request."""
    await reader.readexactly(len(PREFACE))
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3]))
        if head[3] == HEADERS:
            return int.from_bytes(head[5:])
